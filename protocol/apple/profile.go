package apple

import (
	"errors"
	"fmt"
	"time"

	"rollcall/protocol"
)

// ProfileType is the MIME type of a profile, signed or not.
const ProfileType = "application/x-apple-aspen-config"

// ErrSigned is wrapped by [DecodeProfile]'s error when the bytes are CMS: package certs takes them out of it.
var ErrSigned = errors.New("profile is signed")

// A Profile is a configuration profile: apple-schema/mdm/profiles/TopLevel.yaml. PayloadType and
// PayloadVersion are always Configuration and 1.
type Profile struct {
	Identifier        string // PayloadIdentifier: the same identifier replaces, another one adds
	UUID              string
	DisplayName       string
	Description       string
	Organization      string
	RemovalDisallowed bool
	Scope             string    // System or User (macOS); empty: User
	RemovalDate       time.Time // zero: none
	Payloads          []Payload
	Encrypted         []byte // EncryptedPayloadContent: CMS in the place of Payloads
}

// EncodeProfile returns p as an XML property list, unsigned.
func EncodeProfile(p *Profile) []byte {
	top := topLevel{
		PayloadType: "Configuration", PayloadVersion: 1, PayloadIdentifier: p.Identifier, PayloadUUID: p.UUID,
		PayloadDisplayName: p.DisplayName, PayloadDescription: p.Description, PayloadOrganization: p.Organization,
		PayloadRemovalDisallowed: p.RemovalDisallowed, PayloadScope: p.Scope, RemovalDate: p.RemovalDate,
		IsEncrypted: len(p.Encrypted) > 0, EncryptedPayloadContent: p.Encrypted,
	}
	if len(p.Encrypted) == 0 {
		content := make([]payloadDict, len(p.Payloads))
		for i := range p.Payloads {
			content[i] = payloadDict(p.Payloads[i])
		}
		top.PayloadContent = &content
	}
	return encodePlist(&top)
}

// OpenProfile reads a profile, signed or not: content takes it out of its CMS. The error is that of content or of [DecodeProfile].
func OpenProfile(body []byte, content func(cms []byte) ([]byte, error)) (*Profile, error) {
	p, err := DecodeProfile(body)
	if errors.Is(err, ErrSigned) {
		if body, err = content(body); err == nil {
			p, err = DecodeProfile(body)
		}
	}
	return p, err
}

// DecodeProfile reads an unsigned profile and holds it against the required keys of apple.md section 2.1. The
// error wraps [ErrSigned] for CMS, else [protocol.ErrMalformed], and names payload and key.
func DecodeProfile(body []byte) (*Profile, error) {
	if len(body) > 0 && body[0] == 0x30 { // the SEQUENCE that CMS begins with
		return nil, ErrSigned
	}
	var top topLevel
	if err := decodePlist(body, MaxMessage, &top); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	p := &Profile{
		Identifier: top.PayloadIdentifier, UUID: top.PayloadUUID, DisplayName: top.PayloadDisplayName,
		Description: top.PayloadDescription, Organization: top.PayloadOrganization,
		RemovalDisallowed: top.PayloadRemovalDisallowed, Scope: top.PayloadScope, RemovalDate: top.RemovalDate,
		Encrypted: top.EncryptedPayloadContent,
	}
	wrong := ""
	switch {
	case top.PayloadType != "Configuration":
		wrong = "PayloadType is not Configuration"
	case top.PayloadVersion != 1:
		wrong = "PayloadVersion is not 1"
	case p.Identifier == "":
		wrong = "no PayloadIdentifier"
	case p.UUID == "":
		wrong = "no PayloadUUID"
	case top.IsEncrypted != (len(p.Encrypted) > 0), top.IsEncrypted == (top.PayloadContent != nil):
		wrong = "want PayloadContent, or IsEncrypted with EncryptedPayloadContent"
	case p.Scope != "" && p.Scope != "System" && p.Scope != "User":
		wrong = "PayloadScope is neither System nor User"
	}
	if wrong != "" {
		return nil, fmt.Errorf("%w: profile: %s", protocol.ErrMalformed, wrong)
	}
	if top.PayloadContent != nil {
		for _, d := range *top.PayloadContent {
			p.Payloads = append(p.Payloads, Payload(d))
		}
	}
	if err := unique(p.Payloads); err != nil {
		return nil, err
	}
	return p, nil
}

// unique demands that no identifier and no UUID stands for two payloads.
func unique(payloads []Payload) error {
	identifiers, uuids := map[string]bool{}, map[string]bool{}
	for i := range payloads {
		p := &payloads[i]
		if identifiers[p.Identifier] || uuids[p.UUID] {
			return fmt.Errorf("%w: profile: payload %q: PayloadIdentifier or PayloadUUID is there twice", protocol.ErrMalformed, p.Identifier)
		}
		identifiers[p.Identifier], uuids[p.UUID] = true, true
	}
	return nil
}

// topLevel is a profile as the library reads and writes it.
type topLevel struct {
	PayloadType              string
	PayloadVersion           int64
	PayloadIdentifier        string
	PayloadUUID              string
	PayloadDisplayName       string         `plist:",omitempty"`
	PayloadDescription       string         `plist:",omitempty"`
	PayloadOrganization      string         `plist:",omitempty"`
	PayloadRemovalDisallowed bool           `plist:",omitempty"`
	PayloadScope             string         `plist:",omitempty"`
	RemovalDate              time.Time      `plist:",omitempty"`
	IsEncrypted              bool           `plist:",omitempty"`
	EncryptedPayloadContent  []byte         `plist:",omitempty"`
	PayloadContent           *[]payloadDict `plist:",omitempty"`
}
