package csp

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/protocol/windows"
)

// ErrNoCounterpart is wrapped by [Read]'s error for a profile of Apple's of which nothing has a counterpart on Windows.
var ErrNoCounterpart = errors.New("nothing of it has a counterpart on Windows")

// maxURI is how long a LocURI may be.
const maxURI = 1024

// A Profile is a document as the commands that install it, without CmdIDs and in their order: Add, Replace and Exec of one node each,
// and Atomic of such.
type Profile struct {
	Family   protocol.Family
	Commands []windows.Command
}

// Read reads a document as it was uploaded: SyncML (see [IsDocument]), or a profile of Apple's, signed or not. The error says which
// command or key of it is wrong, and wraps [protocol.ErrMalformed] or [ErrNoCounterpart].
func Read(document []byte) (*Profile, error) {
	if IsDocument(document) {
		return readSyncML(document)
	}
	p, err := apple.DecodeProfile(document)
	if errors.Is(err, apple.ErrSigned) {
		signed, verifyErr := certs.VerifyAttached(document, certs.Policy{Legacy: true}) // whoever uploaded it answers for the signer
		if verifyErr != nil {
			return nil, verifyErr
		}
		p, err = apple.DecodeProfile(signed.Content)
	}
	if err != nil {
		return nil, err
	}
	return translate(p)
}

// readSyncML reads a SyncBody. Its beginning and end are put around it where they are missing, so that the strict decoder of messages
// judges it.
func readSyncML(document []byte) (*Profile, error) {
	text := strings.TrimSpace(strings.TrimPrefix(string(document), "\ufeff"))
	if strings.HasPrefix(text, "<?xml") {
		if end := strings.Index(text, "?>"); end >= 0 {
			text = text[end+2:]
		}
	}
	var m windows.Message
	err := windows.DecodeMessage([]byte(`<SyncML xmlns="SYNCML:SYNCML1.2"><SyncHdr><VerDTD>1.2</VerDTD><VerProto>DM/1.2</VerProto><SessionID>1</SessionID>`+
		`<MsgID>1</MsgID><Target><LocURI>device</LocURI></Target><Source><LocURI>server</LocURI></Source></SyncHdr>`+text+`</SyncML>`), &m)
	if err != nil {
		return nil, fmt.Errorf("a document for Windows is one SyncBody: %w", err)
	}
	p := &Profile{}
	seen := map[string]bool{}
	for i := range m.Commands {
		c := &m.Commands[i]
		if err := check(c, seen, true); err != nil {
			return nil, fmt.Errorf("%w: command %d (%s): %w", protocol.ErrMalformed, i+1, name(c), err)
		}
		p.Commands = append(p.Commands, plain(c)...)
	}
	if len(p.Commands) == 0 {
		return nil, fmt.Errorf("%w: a SyncBody without commands", protocol.ErrMalformed)
	}
	p.Family = familyOf(leaves(p.Commands)[0].Items[0].Target)
	return p, nil
}

func name(c *windows.Command) string {
	if c.Verb == windows.Unknown {
		return c.Name
	}
	return c.Verb.String()
}

// check holds one command of a document against what a profile may do.
func check(c *windows.Command, seen map[string]bool, top bool) error {
	switch c.Verb {
	case windows.Add, windows.Replace, windows.Exec:
	case windows.Atomic:
		if !top || len(c.Commands) == 0 {
			return errors.New("an Atomic holds commands, and no other Atomic")
		}
		for i := range c.Commands {
			if err := check(&c.Commands[i], seen, false); err != nil {
				return fmt.Errorf("%s %d in it: %w", name(&c.Commands[i]), i+1, err)
			}
		}
		return nil
	default:
		return errors.New("a profile is made of Add, Replace, Exec and Atomic")
	}
	if len(c.Items) == 0 {
		return errors.New("it has no Item")
	}
	for i := range c.Items {
		item := &c.Items[i]
		if err := checkURI(item.Target); err != nil {
			return err
		}
		if c.Verb != windows.Exec && seen[item.Target] {
			return fmt.Errorf("%s is there twice", item.Target)
		}
		seen[item.Target] = true
		if item.MoreData || item.Meta.Size != 0 {
			return fmt.Errorf("%s: a document holds its data whole", item.Target)
		}
		meta := item.Meta
		if meta.Format == "" {
			meta.Format = c.Meta.Format
		}
		if err := checkData(meta.Format, item.Data); err != nil {
			return fmt.Errorf("%s: %w", item.Target, err)
		}
	}
	return nil
}

// own are the nodes by which the server manages the device itself, wipes it or has it restart: no profile touches them.
var own = []string{"DMClient", "DMAcc", "RemoteWipe", "RemoteLock", "Reboot", "CertificateStore/MY/WSTEP", "NodeCache", "DeviceManageability"}

func checkURI(uri string) error {
	rest, ok := vendor(uri)
	switch {
	case len(uri) > maxURI:
		return fmt.Errorf("a LocURI of %d bytes, at most %d", len(uri), maxURI)
	case !ok:
		return fmt.Errorf("LocURI %q does not begin with ./Device/Vendor/MSFT/, ./User/Vendor/MSFT/ or ./Vendor/MSFT/", uri)
	}
	names := strings.Split(rest, "/")
	for i, segment := range names {
		decoded, err := windows.UnescapeNode(segment)
		if err != nil || strings.Trim(decoded, ". ") == "" {
			return fmt.Errorf("LocURI %q has an empty or impossible name", uri)
		}
		names[i] = decoded // a device goes by what a name says, however it is written
	}
	named := strings.Join(names, "/")
	for _, mine := range own {
		if within(named, mine) || within(mine, named) { // what is above goes with all that is below it when the profile does
			return fmt.Errorf("%s is the server's own: no profile changes it", uri)
		}
	}
	return nil
}

// within tells whether a node is root or below it. Names are the same in either case.
func within(node, root string) bool {
	return len(node) >= len(root) && strings.EqualFold(node[:len(root)], root) && (len(node) == len(root) || node[len(root)] == '/')
}

// vendor returns what follows the scope of a LocURI.
func vendor(uri string) (rest string, ok bool) {
	for _, scope := range []string{"./Device/Vendor/MSFT/", "./User/Vendor/MSFT/", "./Vendor/MSFT/"} {
		if rest, ok = strings.CutPrefix(uri, scope); ok {
			return rest, true
		}
	}
	return "", false
}

// checkData holds a value against its format (WIN-039): XML in it must parse, or the device would refuse it for ever.
func checkData(format, data string) error {
	text := strings.TrimSpace(data)
	switch format {
	case "", windows.FormatChr, windows.FormatXML:
		if format == windows.FormatXML || strings.HasPrefix(text, "<") {
			return wellFormed(text)
		}
	case windows.FormatInt:
		if _, err := strconv.ParseInt(text, 10, 64); err != nil {
			return fmt.Errorf("%.40q is no int", text)
		}
	case windows.FormatBool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%.40q is no bool: true or false", text)
		}
	case windows.FormatB64, windows.FormatBin:
		if _, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), "")); err != nil {
			return errors.New("its data is no base64")
		}
	case windows.FormatNode, windows.FormatNull, "float", "date", "time":
	default:
		return fmt.Errorf("format %.40q is unknown", format)
	}
	return nil
}

// wellFormed demands elements that are closed. There may be several: policies backed by ADMX are fragments.
func wellFormed(text string) error {
	d := xml.NewDecoder(strings.NewReader(text))
	elements, depth := 0, 0
	for {
		token, err := d.Token()
		switch {
		case errors.Is(err, io.EOF) && elements > 0:
			return nil
		case errors.Is(err, io.EOF):
			return errors.New("its data should be XML")
		case err != nil:
			return fmt.Errorf("its data is no XML that parses: %w", err)
		}
		switch token.(type) {
		case xml.StartElement:
			elements++
			if depth++; depth > 64 {
				return errors.New("its data is nested too deeply")
			}
		case xml.EndElement:
			depth--
		case xml.Directive:
			return errors.New("its data has a document type or another directive")
		}
	}
}

// plain makes commands of one node each.
func plain(c *windows.Command) (out []windows.Command) {
	if c.Verb == windows.Atomic {
		one := windows.Command{Verb: windows.Atomic}
		for i := range c.Commands {
			one.Commands = append(one.Commands, plain(&c.Commands[i])...)
		}
		return []windows.Command{one}
	}
	for _, item := range c.Items {
		if item.Meta.Format == "" {
			item.Meta.Format = c.Meta.Format
		}
		if item.Meta.Type == "" {
			item.Meta.Type = c.Meta.Type
		}
		item.Source = ""
		out = append(out, windows.Command{Verb: c.Verb, Items: []windows.Item{item}})
	}
	return out
}

// leaves lists the commands that concern nodes, those inside an Atomic too.
func leaves(commands []windows.Command) (out []*windows.Command) {
	for i := range commands {
		if c := &commands[i]; c.Verb == windows.Atomic {
			out = append(out, leaves(c.Commands)...)
		} else {
			out = append(out, c)
		}
	}
	return out
}

// Install returns what brings p to a device that has old (nil: nothing that p would replace). A node that both have is replaced, never
// deleted and added, and one that is as it should be is left alone (WIN-070); what only old had goes last.
func (p *Profile) Install(old *Profile) []windows.Command { return p.install(old, changes) }

// Overwrite is Install over a namesake of the authority before: what both have alike is written again, or the device would drop it with
// what is left of that authority (AUTH-26, AUTH-27).
func (p *Profile) Overwrite(old *Profile) []windows.Command {
	return p.install(old, func(*windows.Command, map[string]windows.Item) bool { return true })
}

func (p *Profile) install(old *Profile, needed func(c *windows.Command, have map[string]windows.Item) bool) []windows.Command {
	have := map[string]windows.Item{}
	if old != nil {
		for _, c := range leaves(old.Commands) {
			if c.Verb != windows.Exec {
				have[c.Items[0].Target] = c.Items[0]
			}
		}
	}
	var out []windows.Command
	for i := range p.Commands {
		c := over(&p.Commands[i], have)
		if needed(&p.Commands[i], have) {
			out = append(out, c)
		}
	}
	if old != nil {
		keep := map[string]bool{}
		for _, c := range leaves(p.Commands) {
			keep[c.Items[0].Target], keep[root(c.Items[0].Target)] = true, true
		}
		for _, c := range leaves(old.Commands) {
			uri := c.Items[0].Target
			switch r := root(uri); {
			case c.Verb == windows.Exec || keep[uri]:
			case !keep[r]:
				keep[r] = true
				out = append(out, deletion(r))
			case r != uri:
				keep[uri] = true
				out = append(out, deletion(uri))
			}
		}
	}
	return out
}

// over is c for a device that has some nodes already.
func over(c *windows.Command, have map[string]windows.Item) windows.Command {
	out := *c
	switch c.Verb {
	case windows.Atomic:
		out.Commands = nil
		for i := range c.Commands {
			child := &c.Commands[i]
			if item := &child.Items[0]; child.Verb == windows.Add && item.Meta.Format == windows.FormatNode {
				if _, there := have[item.Target]; there { // a node without a value cannot be replaced
					continue
				}
			}
			out.Commands = append(out.Commands, over(child, have))
		}
	case windows.Add:
		uri := c.Items[0].Target
		_, there := have[uri]
		for at := range have {
			there = there || AddsOnce(uri) && root(at) == root(uri)
		}
		if there {
			out.Verb = windows.Replace
		}
	}
	return out
}

// AddsOnce tells whether a node is of what a device deletes when it is added again, in whatever part: an account of Exchange, whose leaves
// are replaced then (windows.md section 11).
func AddsOnce(uri string) bool {
	rest, _ := vendor(uri)
	return strings.HasPrefix(rest, "ActiveSync/Accounts/")
}

// changes tells whether c does anything on a device that has some nodes already.
func changes(c *windows.Command, have map[string]windows.Item) bool {
	if c.Verb == windows.Atomic {
		return slices.ContainsFunc(c.Commands, func(child windows.Command) bool { return child.Verb != windows.Exec && changes(&child, have) })
	}
	was, there := have[c.Items[0].Target]
	return c.Verb == windows.Exec || !there || was.Data != c.Items[0].Data || was.Meta.Format != c.Items[0].Meta.Format
}

// Remove returns what takes p off a device that keeps others: what these have made too stays. A node that is missing is as it should be
// (404).
func (p *Profile) Remove(keeps ...*Profile) (out []windows.Command) {
	seen := map[string]bool{}
	for _, k := range keeps {
		for _, c := range leaves(k.Commands) {
			seen[root(c.Items[0].Target)] = true
		}
	}
	for _, c := range leaves(p.Commands) {
		if r := root(c.Items[0].Target); c.Verb != windows.Exec && !seen[r] {
			seen[r] = true
			out = append(out, deletion(r))
		}
	}
	return out
}

func deletion(uri string) windows.Command {
	return windows.Command{Verb: windows.Delete, Items: []windows.Item{{Target: uri}}}
}

// nodes are what a profile makes as a whole, by how many names its LocURI has after the vendor's, and of which family it is.
var nodes = []struct {
	prefix string
	names  int
	family protocol.Family
}{
	{"WiFi/Profile/", 3, protocol.WiFi},
	{"VPNv2/", 2, protocol.VPN},
	{"ActiveSync/Accounts/", 3, protocol.Email},
	{"EMAIL2/", 2, protocol.Email},
	{"ClientCertificateInstall/SCEP/", 3, protocol.Certificate},
	{"ClientCertificateInstall/PFXCertInstall/", 3, protocol.Certificate},
	{"RootCATrustedCertificates/", 3, protocol.Certificate},
}

// root is the node to delete for what is below it to go.
func root(uri string) string {
	rest, _ := vendor(uri)
	for _, n := range nodes {
		if !strings.HasPrefix(rest, n.prefix) {
			continue
		}
		if parts := strings.Split(rest, "/"); len(parts) > n.names {
			return uri[:len(uri)-len(rest)] + strings.Join(parts[:n.names], "/")
		}
	}
	return uri
}

func familyOf(uri string) protocol.Family {
	rest, _ := vendor(uri)
	for _, n := range nodes {
		if strings.HasPrefix(rest, n.prefix) {
			return n.family
		}
	}
	return protocol.Configuration
}
