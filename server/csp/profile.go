package csp

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/protocol/windows"
)

// ErrNoCounterpart is wrapped by [Read]'s error for a profile of Apple's of which nothing has a counterpart on Windows.
var ErrNoCounterpart = errors.New("nothing of it has a counterpart on Windows")

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
	p, err := apple.OpenProfile(document, certs.Content)
	if err != nil {
		return nil, err
	}
	return translate(p)
}

// readSyncML reads a SyncBody. What the strict decoder of messages says of a byte is of the document's own.
func readSyncML(document []byte) (*Profile, error) {
	if wide(document) {
		return nil, fmt.Errorf("%w: it is written in UTF-16, and has to be in UTF-8", protocol.ErrMalformed)
	}
	var m windows.Message
	if err := windows.DecodeBody(bytes.TrimRight(document, " \t\r\n"), &m); err != nil {
		return nil, fmt.Errorf("a document for Windows is one SyncBody: %w", err)
	}
	p := &Profile{}
	seen := map[key]bool{}
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
	p.Family = protocol.Configuration
	path, _ := windows.NodePath(leaves(p.Commands)[0].Items[0].Target)
	if f := familyOf(path); f != nil {
		p.Family = f.of
	}
	return p, nil
}

func name(c *windows.Command) string {
	if c.Verb == windows.Unknown {
		return c.Name
	}
	return c.Verb.String()
}

// check holds one command of a document against what a profile may do.
func check(c *windows.Command, seen map[key]bool, top bool) error {
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
		at := keyOf(item.Target)
		if c.Verb != windows.Exec && seen[at] {
			return fmt.Errorf("%s is there twice", item.Target)
		}
		seen[at] = true
		if item.MoreData || item.Meta.Size != 0 {
			return fmt.Errorf("%s: a document holds its data whole", item.Target)
		}
		meta := item.Meta
		if meta.Format == "" {
			meta.Format = c.Meta.Format
		}
		if err := checkData(item.Target, meta.Format, item.Data); err != nil {
			return fmt.Errorf("%s: %w", item.Target, err)
		}
		if err := checkCertificate(at, item.Data); err != nil {
			return fmt.Errorf("%s: %w", item.Target, err)
		}
	}
	return nil
}

// checkCertificate holds a trusted certificate against its node, which is called by its SHA-1. Under the name of the server's own authority,
// which every device has, none but that can be put.
func checkCertificate(at key, data string) error {
	names := strings.Split(string(at), "/")
	if len(names) != 5 || names[1] != "rootcatrustedcertificates" || names[4] != "encodedcertificate" {
		return nil
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(data), ""))
	if sum := fmt.Sprintf("%x", sha1.Sum(der)); err != nil || sum != names[3] {
		return errors.New("its data is not the certificate, in base64, that the node's name is the SHA-1 of")
	}
	return nil
}

// checkData holds a value against its node and format (WIN-039): XML in it must parse, or the device would refuse it for ever.
func checkData(uri, format, data string) error {
	text := strings.TrimSpace(data)
	switch format {
	case "", windows.FormatChr, windows.FormatXML:
		if whole := isXML(uri); whole || format == windows.FormatXML || strings.HasPrefix(text, "<") {
			return wellFormed(text, whole)
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

// wellFormed demands elements that are closed, and nothing but white space around them. There may be several, unless it is to be whole:
// policies backed by ADMX are fragments.
func wellFormed(text string, whole bool) error {
	d := xml.NewDecoder(strings.NewReader(text))
	elements, depth := 0, 0
	for {
		token, err := d.Token()
		switch {
		case errors.Is(err, io.EOF) && elements > 0:
			return nil
		case errors.Is(err, io.EOF):
			return errNoXML
		case err != nil:
			return fmt.Errorf("its data is no XML that parses: %w", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if depth == 0 {
				elements++
			}
			if whole && elements > 1 {
				return errors.New("its data should be one element, and has several")
			}
			if depth++; depth > 64 {
				return errors.New("its data is nested too deeply")
			}
		case xml.EndElement:
			depth--
		case xml.CharData:
			if depth == 0 && len(bytes.TrimSpace(token)) > 0 {
				if elements == 0 {
					return errNoXML
				}
				return errors.New("its data has text outside of its elements")
			}
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
