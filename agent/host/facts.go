package host

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"rollcall/agent/dialect"
	"rollcall/protocol"
)

// Facts are what the machine tells of itself. What it does not tell is empty: nothing is made up.
type Facts struct {
	Name      string    `json:"name,omitempty"`       // host name
	OS        string    `json:"os,omitempty"`         // debian, darwin, Microsoft Windows 11 Pro 24H2
	OSVersion string    `json:"os_version,omitempty"` // 13.1, 14.6, 10.0.26100.4061
	Kernel    string    `json:"kernel,omitempty"`
	Arch      string    `json:"arch,omitempty"`
	Vendor    string    `json:"vendor,omitempty"`
	Model     string    `json:"model,omitempty"`
	Serial    string    `json:"serial,omitempty"`
	Memory    uint64    `json:"memory_bytes,omitempty"`
	Disks     []Disk    `json:"disks,omitempty"`
	Networks  []Network `json:"networks,omitempty"`
}

// A Disk is one file system on a disk.
type Disk struct {
	Mount string `json:"mount"`
	Type  string `json:"type,omitempty"`
	Size  uint64 `json:"size_bytes,omitempty"`
	Free  uint64 `json:"free_bytes,omitempty"`
}

// A Network is one interface that is up, loopback left out.
type Network struct {
	Name      string   `json:"name"`
	MAC       string   `json:"mac,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
	Wireless  bool     `json:"wireless,omitempty"`
}

// ReadFacts asks the machine. What cannot be read is absent.
func ReadFacts(ctx context.Context) Facts {
	f := Facts{Arch: runtime.GOARCH}
	f.Name, _ = os.Hostname()
	f.OS, f.OSVersion = release.read(ctx, time.Now())
	if f.OS == "" {
		f.OS = runtime.GOOS
	}
	f.Kernel = kernel(ctx)
	f.Memory = memory(ctx)
	f.Vendor, f.Model, f.Serial = firmware(ctx)
	f.Disks = disks(ctx)
	f.Networks = networks()
	return f
}

// A releaseReader asks for the operating system's name and version, which starts a program on many systems, once a day.
type releaseReader struct {
	sync.Mutex
	at            time.Time
	name, version string
}

var release releaseReader

func (r *releaseReader) read(ctx context.Context, now time.Time) (name, version string) {
	r.Lock()
	defer r.Unlock()
	if r.name == "" || now.Sub(r.at).Abs() > 24*time.Hour {
		r.name, r.version = platform(ctx)
		r.at = now
	}
	return r.name, r.version
}

func networks() (list []Network) {
	all, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, i := range all {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		n := Network{Name: i.Name, MAC: i.HardwareAddr.String(), Wireless: wireless(i.Name)}
		addresses, _ := i.Addrs()
		for _, a := range addresses {
			n.Addresses = append(n.Addresses, a.String())
		}
		list = append(list, n)
	}
	return list
}

// placeholders are what firmware says where its maker did not fill anything in.
var placeholders = []string{
	"", "0", "none", "default string", "to be filled by o.e.m.", "not specified", "not applicable", "system serial number", "system product name",
	"system manufacturer", "o.e.m.", "oem", "unknown", "empty", "123456789", "0123456789",
}

// filled returns what firmware says, empty where that means nothing.
func filled(s string) string {
	s = strings.TrimSpace(strings.Trim(s, "\x00"))
	for _, p := range placeholders {
		if strings.EqualFold(s, p) {
			return ""
		}
	}
	return s
}

// capacity returns size and free space of the system's own disk.
func (f *Facts) capacity() (size, free uint64) {
	for _, d := range f.Disks {
		if d.Mount == "/" || d.Mount == os.Getenv("SystemDrive") {
			return d.Size, d.Free
		}
	}
	return 0, 0
}

// mac returns the address of the first interface that is wireless, or is not.
func (f *Facts) mac(wireless bool) string {
	for _, n := range f.Networks {
		if n.MAC != "" && n.Wireless == wireless {
			return n.MAC
		}
	}
	return ""
}

// products begin the ProductName of the machine as a device of its kind: by it servers know what enrols.
var products = map[protocol.Platform]string{protocol.IPadOS: "iPad", protocol.IOS: "iPhone", protocol.MacOS: "Mac"}

// model is the machine in the words of an Apple device. tell reads it anew for each query.
func (f *Facts) model(kind protocol.Platform, tell func(string) any) *dialect.Model {
	return &dialect.Model{
		Platform: kind, Name: strings.TrimSpace(f.Vendor + " " + f.Model), Number: f.Model, Product: products[kind] + " (" + f.product() + ")",
		OSVersion: f.OSVersion, Build: f.Kernel, Tell: tell,
	}
}

// product is what enrols, in place of what its maker calls it.
func (f *Facts) product() string { return "rollcall agent on " + f.OS }

const gigabyte = 1e9

// answer is what the machine says to a query of DeviceInformation; nil: nothing.
func (f *Facts) answer(query string, kind protocol.Platform) any {
	size, free := f.capacity()
	switch query {
	case "DeviceName", "HostName", "LocalHostName":
		return said(f.Name)
	case "OSVersion":
		return said(f.OSVersion)
	case "BuildVersion":
		return said(f.Kernel)
	case "ProductName":
		return f.model(kind, nil).Product
	case "ModelName":
		return said(f.model(kind, nil).Name)
	case "Model":
		return said(f.Model)
	case "SerialNumber":
		return said(f.Serial)
	case "WiFiMAC":
		return said(f.mac(true))
	case "EthernetMAC":
		return said(f.mac(false))
	case "DeviceCapacity":
		if size > 0 {
			return float64(size) / gigabyte
		}
	case "AvailableDeviceCapacity":
		if size > 0 {
			return float64(free) / gigabyte
		}
	}
	return nil
}

func said(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// machineOf is a hash of the machine's own id, which is not passed on itself; empty: the machine has none that lasts.
func machineOf(id string) string {
	if id == "" {
		return ""
	}
	h := hmac.New(sha256.New, []byte("rollcall agent"))
	h.Write([]byte(strings.ToLower(strings.TrimSpace(id))))
	return hex.EncodeToString(h.Sum(nil))
}

// udidOf makes a UDID of that hash, or by chance where there is none.
func udidOf(machine string) string {
	b, err := hex.DecodeString(machine)
	if err != nil || len(b) < 16 {
		b = make([]byte, 16)
		rand.Read(b) // never fails
	}
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80 // RFC 9562, section 5.8: a UUID of our own making
	return strings.ToUpper(fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16]))
}

// uuidOf is the same UUID for the same name.
func uuidOf(name string) string {
	return strings.ToUpper(uuid.NewSHA1(uuid.NameSpaceURL, []byte(name)).String())
}
