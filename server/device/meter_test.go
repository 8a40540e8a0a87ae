package device

import (
	"errors"
	"fmt"
	"testing"

	"rollcall/protocol"
)

// What a meter hears of a message that was refused, could not be read or failed: only the last is a fault of ours.
func TestJudged(t *testing.T) {
	for _, tt := range []struct {
		err          error
		rule         protocol.Rule
		failed, told bool
	}{
		{nil, "", false, true},
		{&protocol.Refusal{Rule: "AUTH-30"}, "AUTH-30", false, true},
		{&stranger{rule: "HST-026"}, "HST-026", false, true},
		{errTooLarge, "HST-001", false, false},
		{protocol.ErrMalformed, "HST-014", false, false},
		{errBody, "HST-014", false, false},
		{fmt.Errorf("%w: twice (%w)", protocol.ErrMalformed, protocol.Rule("HST-006")), "HST-006", false, false},
		{errEncoding, "HST-012", false, false},
		{errMethod, "", false, true},
		{errMediaType, "", false, true},
		{errNotOffered, "", false, true},
		{errUser, "", false, true},
		{errors.New("the store is gone"), "", true, true},
	} {
		err := tt.err
		if err != nil {
			err = fmt.Errorf("check-in: %w", err)
		}
		if rule, failed, told := judged(err, "HST-014"); rule != tt.rule || failed != tt.failed || told != tt.told {
			t.Errorf("judged(%v) = %q, failed %v, told %v; want %q, %v, %v", err, rule, failed, told, tt.rule, tt.failed, tt.told)
		}
	}
}
