package target

import (
	"context"
	"testing"

	"rollcall/protocol"
)

func TestFollow(t *testing.T) {
	r, got := fake(t, map[string][]string{"GET /rollcall/v1/journal": {
		`200 {"lines":[{"seq":8,"what":"moved","actor":"device"}],"next":"","last":"9"}`,
		`200 {"lines":[],"next":"","last":"12"}`,
		`200 {"lines":[{"seq":15,"what":"moved"},{"seq":16,"what":"moved"}],"next":"","last":"16"}`,
	}})
	at := protocol.Time(1_772_442_000_000_000)
	var seqs []uint64
	for line, err := range r.Follow(context.Background(), LineFilter{After: 7, What: "moved", Device: "A", Actor: "device", Rule: "AUTH-23", Since: at}) {
		if err != nil {
			t.Fatal(err)
		}
		if seqs = append(seqs, line.Seq); len(seqs) == 3 {
			break
		}
	}
	if len(seqs) != 3 || seqs[0] != 8 || seqs[2] != 16 {
		t.Errorf("followed %v, want 8, 15, 16", seqs)
	}
	const rest = "&device=A&limit=1000&rule=AUTH-23&since=2026-03-02T09%3A00%3A00Z&wait=25&what=moved"
	for i, after := range []string{"7", "9", "12"} {
		if want := "/rollcall/v1/journal?actor=device&after=" + after + rest; (*got)[i].target != want {
			t.Errorf("asked %s, want %s", (*got)[i].target, want)
		}
	}
}

func TestFollowEndsWithAnError(t *testing.T) {
	r, _ := fake(t, map[string][]string{"GET /rollcall/v1/journal": {`401 {"error":{"rule":"HST-060","message":"no"}}`}})
	n := 0
	for _, err := range r.Follow(context.Background(), LineFilter{}) {
		if n++; err == nil {
			t.Error("a refusal is no line")
		}
	}
	if n != 1 {
		t.Errorf("%d turns, want one", n)
	}
}
