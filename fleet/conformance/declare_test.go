package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// A declarer is a handset that knows declarations, with a mistake that is planted.
type declarer struct {
	*handset
	mistake string
	token   string
	held    map[string]string // ServerToken by path
}

// ask sends one message and returns what it brought.
func (d *declarer) ask(ctx context.Context, m *apple.Message) []byte {
	url, kind := d.mdm.ServerURL, apple.CommandType
	if m.MessageType != apple.NoMessageType {
		url, kind = d.mdm.CheckInURL, apple.CheckInType
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, url, bytes.NewReader(apple.EncodeMessage(nil, m)))
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	resp, err := d.client.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		d.t.Errorf("%s %s: %s, %v", what(m), m.Endpoint, resp.Status, err)
	}
	return b
}

func (d *declarer) endpoint(ctx context.Context, endpoint string, data []byte) []byte {
	return d.ask(ctx, &apple.Message{MessageType: apple.DeclarativeManagement, UDID: "U", Endpoint: endpoint, Data: data})
}

// checkIn does what is queued, and then what was declared.
func (d *declarer) checkIn(ctx context.Context) error {
	answer := d.ask(ctx, &apple.Message{UDID: "U"})
	for len(answer) > 0 {
		c, err := readPlist(answer)
		if err != nil {
			return err
		}
		command, _ := c["Command"].(dict)
		status := protocol.Acknowledged
		data, declares := command["Data"].([]byte)
		if d.mistake == "knows none" && declares {
			status = protocol.Failed
		}
		answer = d.ask(ctx, &apple.Message{UDID: "U", Status: status, CommandUUID: c.text("CommandUUID")})
		if declares && status == protocol.Acknowledged {
			d.sync(ctx, data)
		}
	}
	return nil
}

func (d *declarer) sync(ctx context.Context, data []byte) {
	var named struct {
		SyncTokens struct{ DeclarationsToken string }
	}
	if err := json.Unmarshal(data, &named); err != nil {
		d.t.Error(err)
	}
	if named.SyncTokens.DeclarationsToken == d.token && d.mistake != "looks again" {
		return
	}
	type item struct{ Identifier, ServerToken string }
	var list struct {
		Declarations      map[string][]item
		DeclarationsToken string
	}
	if err := json.Unmarshal(d.endpoint(ctx, "declaration-items", nil), &list); err != nil {
		d.t.Error(err)
	}
	d.token = list.DeclarationsToken
	seen := map[string]bool{}
	for kind, items := range list.Declarations {
		for _, one := range items {
			path := strings.ToLower(strings.TrimSuffix(kind, "s")) + "/" + one.Identifier
			seen[path] = true
			stays := d.held[path] == one.ServerToken
			if stays && d.mistake != "fetches everything" || d.held[path] != "" && d.mistake == "fetches what is new alone" {
				continue
			}
			var got declaration
			if err := json.Unmarshal(d.endpoint(ctx, "declaration/"+path, nil), &got); err != nil || got.ServerToken != one.ServerToken || got.Identifier != one.Identifier {
				d.t.Errorf("%s: %+v, %v", path, got, err)
			}
			d.held[path] = one.ServerToken
		}
	}
	var configurations []string
	for path := range d.held {
		if !seen[path] && d.mistake != "drops nothing" {
			delete(d.held, path)
		} else if id, yes := strings.CutPrefix(path, "configuration/"); yes {
			configurations = append(configurations, fmt.Sprintf(`{"identifier":%q,"active":true}`, id))
		}
	}
	slices.Sort(configurations)
	if d.mistake != "is silent" {
		d.endpoint(ctx, "status", []byte(`{"StatusItems":{"management":{"declarations":{"configurations":[`+strings.Join(configurations, ",")+`]}}},"Errors":[]}`))
	}
}

// TestAPL072: a device that keeps declarations passes, and each mistake is found.
func TestAPL072(t *testing.T) {
	for _, tt := range []struct {
		mistake string
		want    Outcome
		reason  string
	}{
		{"", Pass, ""},
		{"knows none", NotApplicable, "the device knows no declarations: it answers DeclarativeManagement by Error"},
		{"looks again", Fail, "the token is the one that the device has, and it asks for declaration-items"},
		{"fetches everything", Fail, "the device fetches"},
		{"fetches what is new alone", Fail, "the device fetches"},
		{"drops nothing", Fail, "a configuration that is gone as if it held it"},
		{"is silent", Fail, "reports no status"},
	} {
		t.Run(tt.mistake, func(t *testing.T) {
			d := &declarer{handset: &handset{t: t}, mistake: tt.mistake, held: map[string]string{}}
			hands := d.hands()
			hands.CheckIn = d.checkIn
			ca, err := toyCA()
			if err != nil {
				t.Fatal(err)
			}
			r, err := JudgeDevice(t.Context(), DeviceConfig{Hands: hands, Authority: ca, Only: []string{"APL-072"}, Ready: d.trust})
			if err != nil {
				t.Fatal(err)
			}
			if f := r.of("APL-072"); f.Outcome != tt.want || !strings.Contains(f.Reason, tt.reason) {
				t.Errorf("%s: %s", f.Outcome, f.Reason)
			}
		})
	}
}
