package server

import (
	"context"
	"fmt"
	"slices"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// Data-sharing consents, by Graph's ids (AUTH-05).
const (
	ConsentPush      = "appleMDMPushCertificate"
	ConsentADE       = "appleDeviceEnrollment"
	ConsentSchool    = "appleSchoolManager"
	ConsentPurchases = "appleVolumePurchase"
	ConsentAndroid   = "androidManagedStore"
)

// A Consent is one data-sharing consent, granted or not, with the list of what is shared (AUTH-05, AUTH-07).
type Consent struct {
	store.Consent // By and At zero: it is not granted
	Granted       bool
	Title         string // the service's name
	With          string // whom the data goes to
	For           string // what it is needed for
	Shared        []SharedItem
}

// A SharedItem is one thing that goes to a third party, and why (AUTH-07).
type SharedItem struct{ Data, Why string }

var enrolmentData = []SharedItem{
	{"organization name", "names the server in the enrolment service"},
	{"server name", "devices are assigned to it"},
	{"serial number", "finds the device"},
	{"model", "chooses the profile"},
	{"enrolment profile", "is what the device enrols with"},
}

var consents = []Consent{
	{Title: "Android work profiles", With: "Google", For: "Android work profiles", Shared: []SharedItem{
		{"enterprise id", "names the organization"},
		{"device id", "finds the device"},
		{"managed account", "is the user's on the device"},
		{"policy", "is what the device has to keep to"},
	}, Consent: store.Consent{Service: ConsentAndroid}},
	{Title: "Automated Device Enrolment", With: "Apple", For: "devices of Automated Device Enrolment", Shared: enrolmentData, Consent: store.Consent{Service: ConsentADE}},
	{Title: "Apple MDM push certificate", With: "Apple", For: "the MDM push certificate, and with it each Apple device", Shared: []SharedItem{
		{"push token", "addresses the device"},
		{"push magic", "shows the device whose wake-up it is"},
	}, Consent: store.Consent{Service: ConsentPush}},
	{Title: "Apple School Manager", With: "Apple", For: "devices of School Manager", Shared: enrolmentData, Consent: store.Consent{Service: ConsentSchool}},
	{Title: "Volume purchasing", With: "Apple", For: "apps and books bought by volume", Shared: []SharedItem{
		{"user id", "whom a licence is assigned to"},
		{"managed Apple ID", "whom a licence is assigned to"},
		{"serial number", "which device a licence is assigned to"},
	}, Consent: store.Consent{Service: ConsentPurchases}},
}

// Consents lists all data-sharing consents, by Service.
func (s *Server) Consents() []Consent {
	out := slices.Clone(consents)
	for i := range out {
		if c := grantedIn(s.Content(), out[i].Service); c != nil {
			out[i].Consent, out[i].Granted = *c, true
		}
	}
	return out
}

func grantedIn(c *store.Content, service string) *store.Consent {
	for i := range c.Consents {
		if c.Consents[i].Service == service {
			return &c.Consents[i]
		}
	}
	return nil
}

// Consent grants the data-sharing consent of service, once and for all (AUTH-05). One that is granted stays as it is:
// who and when are those of the first time. An unknown one is refused.
func (s *Server) Consent(ctx context.Context, now protocol.Time, who Actor, service string) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	return s.attempt(ctx, now, who, "consent "+service, who.administers(), func(ctx context.Context) error {
		if !slices.ContainsFunc(consents, func(c Consent) bool { return c.Service == service }) {
			return refuse(protocol.RuleConsent, "there is no data-sharing consent %q", service)
		}
		if c := grantedIn(s.Content(), service); c != nil {
			return s.unchanged(ctx, now, fmt.Sprintf("consent %s: it was granted by %s on %s", service, c.By, c.At))
		}
		return s.change(ctx, now, &store.Change{
			Consents: []store.Consent{{Service: service, By: who.Name, At: now}}, Lines: line(delivery.WhatConsent, protocol.RuleConsent, service),
		})
	})
}

// needsConsent refuses what has not been consented to.
func (s *Server) needsConsent(service string) error {
	if grantedIn(s.Content(), service) != nil {
		return nil
	}
	return refuse(protocol.RuleConsent, "the data-sharing consent %s has not been granted: rollcall consent grant %[1]s grants it", service)
}

// unconsented are the consents that enrolments want and nobody granted. What is there already was consented to before it came.
func unconsented(c *store.Content) (m delivery.Consents) {
	if len(c.Push) == 0 && grantedIn(c, ConsentPush) == nil {
		m.Push = ConsentPush
	}
	if len(c.Serials) == 0 && grantedIn(c, ConsentADE) == nil {
		m.Automated = ConsentADE
	}
	if grantedIn(c, ConsentAndroid) == nil {
		m.Android = ConsentAndroid
	}
	return m
}
