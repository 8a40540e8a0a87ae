package target

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"rollcall/protocol/apple"
)

// NanoMDM is the client of the API of micromdm's NanoMDM: it pushes and queues commands, and knows neither users nor
// invitations. Its fields are set before use.
type NanoMDM struct {
	URL  string       // https://host:port, without the API's path
	Key  string       // of the API; its user is nanomdm
	HTTP *http.Client // nil: http.DefaultClient
}

// Order queues a command for a device and has it pushed, or only has it pushed; id is the command's, empty: there is none. A
// command that was queued and could not be pushed is no error: the device gets it when it comes.
func (n *NanoMDM) Order(ctx context.Context, device string, o Order) (id string, err error) {
	if o.Kind == Sync {
		_, err := n.call(ctx, http.MethodGet, "/v1/push/"+url.PathEscape(device), nil)
		return "", err
	}
	id, body, err := rawCommand(o)
	if err != nil {
		return "", err
	}
	answer, err := n.call(ctx, http.MethodPut, "/v1/enqueue/"+url.PathEscape(device), body)
	var said struct {
		Command string          `json:"command_uuid"`
		Error   json.RawMessage `json:"command_error"`
	}
	if err != nil && json.Unmarshal(answer, &said) == nil && said.Command == id && len(said.Error) == 0 {
		err = nil
	}
	return id, err
}

// Steps are the steps that NanoMDM's API has. Devices enrol with profile, since it makes no invitations. Of its push
// certificates it tells nothing.
func (n *NanoMDM) Steps(profile []byte) *Steps {
	s := FromProfile(profile)
	s.Name = "nanomdm"
	s.Queue = n.Order
	s.UploadPush = func(ctx context.Context, pem []byte, _ bool) error {
		_, err := n.call(ctx, http.MethodPut, "/v1/pushcert", pem)
		return err
	}
	return s
}

// call does one request and returns its answer, with an error too.
func (n *NanoMDM) call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(n.URL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth("nanomdm", n.Key)
	client := n.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	case resp.StatusCode != http.StatusOK:
		return answer, &Error{Status: resp.StatusCode, Message: fmt.Sprintf("%s %s: the server answered %s: %.200q", method, path, resp.Status, answer)}
	}
	return answer, nil
}

// rawCommand is o as an API that takes Apple's commands wants it.
func rawCommand(o Order) (id string, body []byte, err error) {
	command := commandOf(o)
	if command == nil {
		return "", nil, fmt.Errorf("%s: not a command of Apple's", o.Kind)
	}
	id = strings.ToUpper(uuid.NewString())
	return id, apple.EncodeCommand(nil, id, command), nil
}

// commandOf returns Apple's command for an order; nil: there is none here.
func commandOf(o Order) apple.Command {
	switch o.Kind {
	case Information:
		return apple.DeviceInformation{Queries: []string{"DeviceName", "OSVersion", "SerialNumber"}}
	case Security:
		return apple.SecurityInfo{}
	case ProfileList:
		return apple.ProfileList{}
	case Certificates:
		return apple.CertificateList{}
	case Applications:
		return apple.InstalledApplicationList{}
	case Restart:
		return apple.RestartDevice{}
	case Lock:
		return apple.DeviceLock{PIN: o.PIN, Message: o.Message}
	}
	return nil
}
