package fleet

import (
	"testing"

	"rollcall/fleet/population"
	"rollcall/protocol/android"
)

// Each way of a population's is one mode of an Android device's (android.md, section 8).
func TestAndroidModes(t *testing.T) {
	for _, tt := range []struct {
		device population.Device
		want   android.Mode
	}{
		{population.Device{Ownership: population.Personal}, android.WorkProfilePersonal},
		{population.Device{Ownership: population.Company}, android.WorkProfileCompany},
		{population.Device{Ownership: population.Company, Enrolment: population.FullyManaged}, android.FullyManaged},
		{population.Device{Ownership: population.Company, Enrolment: population.AOSP}, android.AOSPUser},
		{population.Device{User: population.Nobody, Enrolment: population.Dedicated}, android.Dedicated},
		{population.Device{User: population.Nobody, Enrolment: population.AOSP}, android.AOSPUserless},
	} {
		if got := modeOf(&tt.device); got != tt.want {
			t.Errorf("%+v is %s, want %s", tt.device, got, tt.want)
		}
	}
}
