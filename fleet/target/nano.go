package target

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// NanoMDM is the client of NanoMDM's HTTP API, which nanohub has too (its operations guide, "APIs"). Its fields are set
// before use.
type NanoMDM struct {
	URL   string       // of the API with its version, https://host/v1
	Key   string       // API key
	Topic string       // of the push certificate, for PushState; empty: that step is missing
	HTTP  *http.Client // nil: http.DefaultClient
}

// Steps are the steps that NanoMDM's API has. It knows no invitations: devices enrol with profile.
func (n *NanoMDM) Steps(profile []byte) *Steps {
	s := FromProfile(profile)
	s.Name = "nanomdm"
	s.Queue = n.queue
	s.UploadPush = func(ctx context.Context, pem []byte, _ bool) error {
		return n.call(ctx, http.MethodPut, "/pushcert", pem, nil)
	}
	if n.Topic != "" {
		s.PushState = n.pushState
	}
	return s
}

func (n *NanoMDM) pushState(ctx context.Context) (Push, error) {
	var out struct {
		Topic    string    `json:"topic"`
		NotAfter time.Time `json:"not_after"`
	}
	err := n.call(ctx, http.MethodGet, "/pushcert?"+url.Values{"topic": {n.Topic}}.Encode(), nil, &out)
	return Push{Topic: out.Topic, NotAfter: protocol.At(out.NotAfter)}, err
}

// commands are the orders by what Apple calls them.
var commands = map[OrderKind]apple.Command{
	Information: apple.DeviceInformation{Queries: []string{"OSVersion", "SerialNumber"}}, Security: apple.SecurityInfo{}, ProfileList: apple.ProfileList{},
	Certificates: apple.CertificateList{}, Applications: apple.InstalledApplicationList{}, Restart: apple.RestartDevice{},
}

// command is o as a server's API that takes raw commands wants it.
func command(o Order) (id string, body []byte, err error) {
	c := commands[o.Kind]
	switch o.Kind {
	case Lock:
		c = apple.DeviceLock{PIN: o.PIN, Message: o.Message}
	case Wipe:
		c = apple.EraseDevice{PIN: o.PIN}
	}
	if c == nil {
		return "", nil, fmt.Errorf("%s is no command of Apple's", o.Kind)
	}
	id = strings.ToUpper(uuid.NewString())
	return id, apple.EncodeCommand(nil, id, c), nil
}

func (n *NanoMDM) queue(ctx context.Context, device string, o Order) (string, error) {
	path := url.PathEscape(device)
	if o.Kind == Sync {
		return "", n.call(ctx, http.MethodPut, "/push/"+path, nil, nil)
	}
	id, body, err := command(o)
	if err != nil {
		return "", err
	}
	return id, n.call(ctx, http.MethodPut, "/enqueue/"+path, body, nil)
}

// call does one request and decodes its answer into out (nil: it does not matter). A push that could not be sent is no
// error: the command is queued (HTTP 207 and its like).
func (n *NanoMDM) call(ctx context.Context, method, path string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(n.URL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if n.Key != "" {
		req.SetBasicAuth("nanomdm", n.Key)
	}
	client := n.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return fmt.Errorf("%s %s: %w", method, path, err)
	case resp.StatusCode/100 != 2:
		return &Error{Status: resp.StatusCode, Message: fmt.Sprintf("%s %s: NanoMDM answered %s", method, path, resp.Status)}
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return errors.Join(fmt.Errorf("%s %s: NanoMDM's answer is no JSON", method, path), err)
	}
	return nil
}
