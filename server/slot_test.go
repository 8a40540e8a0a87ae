package server_test

import (
	"strings"
	"testing"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

// TestHST070Upload: an upload of another topic is made by the id that it was shown with and the number of devices that it strands;
// when the world has changed since, it is refused and the difference named. What it did is answered.
func TestHST070Upload(t *testing.T) {
	x := newTenant(t)
	x.enrolled(1)
	other := x.pem("com.apple.mgmt.External.other", 500*day)
	shown, err := x.PreviewPush(x.ctx, x.now, other, "")
	x.must(err)
	take := func(id string, count int) error {
		up, err := x.UploadPushShown(x.ctx, x.now, other, "", "", id, count)
		if up.Preview == nil || !up.OtherTopic {
			t.Errorf("nothing says what it does: %+v", up)
		}
		return err
	}
	x.refused(take("", 1), protocol.RuleOtherTopic)
	x.refused(take("nonsense", 1), protocol.RuleOutdated)
	x.refused(take(shown.Preview.ID, 0), protocol.RuleBlast)
	x.enrolled(1)
	err = take(shown.Preview.ID, 2)
	x.refused(err, protocol.RuleOutdated)
	if !strings.Contains(err.Error(), "UDID-2 is new") {
		t.Errorf("%v does not name the difference", err)
	}
	if len(x.journal(delivery.WhatPushCertificate)) != 1 {
		t.Fatal("a refused upload was taken")
	}
	shown, err = x.PreviewPush(x.ctx, x.now, other, "")
	x.must(err)
	x.must(take(shown.Preview.ID, 2))
}

// TestAUTH31UploadSays: an upload answers that it closes the gap, and who is let in by it.
func TestAUTH31UploadSays(t *testing.T) {
	x := bms(t)
	x.enrolled(1)
	x.set(coexistence)
	up, err := x.UploadPush(x.ctx, x.now, x.pem(topic, x.Content().Latest().NotAfter.Sub(x.now)+day), "", "", false, 0)
	x.must(err)
	said := false
	for _, w := range up.Preview.Warnings {
		said = said || w.Rule == protocol.RuleGapClosed && strings.HasPrefix(w.Text, "1 devices that are to register, and were held")
	}
	if !up.ClosesGap || up.OtherTopic || !said {
		t.Errorf("it says %+v", up)
	}
}
