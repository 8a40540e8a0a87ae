package target

import (
	"bytes"
	"context"
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

// Order queues a command for a device and has it pushed, or only has it pushed; id is the command's, empty: there is none.
func (n *NanoMDM) Order(ctx context.Context, device string, o Order) (id string, err error) {
	method, path, body := http.MethodGet, "/v1/push/", []byte(nil)
	if o.Kind != Sync {
		command := commandOf(o)
		if command == nil {
			return "", fmt.Errorf("%s: not a command that NanoMDM's adapter knows", o.Kind)
		}
		id = strings.ToUpper(uuid.NewString())
		method, path, body = http.MethodPut, "/v1/enqueue/", apple.EncodeCommand(nil, id, command)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(n.URL, "/")+path+url.PathEscape(device), bytes.NewReader(body))
	if err != nil {
		return id, err
	}
	req.SetBasicAuth("nanomdm", n.Key)
	client := n.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return id, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return id, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return id, &Error{Status: resp.StatusCode, Message: fmt.Sprintf("%s %s: the server answered %s: %.200q", method, path, resp.Status, answer)}
	}
	return id, nil
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
	}
	return nil
}
