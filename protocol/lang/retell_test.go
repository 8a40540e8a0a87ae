package lang

import "testing"

func TestRetell(t *testing.T) {
	for said, want := range map[string]string{
		"":                          "",
		"The server is down for 6h": "De server ligt stil gedurende 6 u",
		"Profile \"mail \\\"x\\\"\" is assigned to group sales":                               "Profiel \"mail \\\"x\\\"\" wordt toegewezen aan groep sales",
		"The users of 40% of all devices are asked to sync":                                   "De gebruikers van 40% van alle apparaten wordt gevraagd te synchroniseren",
		"The iPhones are locked":                                                              "De iPhones worden vergrendeld",
		"50% of the users with a basic licence get a licence that entitles Intune, within 2d": "50% van de gebruikers met een basislicentie krijgen een licentie met recht op Intune, binnen 2 dagen",
		"1 more device enrols within 8h":                                                      "Nog 1 apparaat schrijft in binnen 8 u",
		"The server answers 503 to all the requests":                                          "De server antwoordt 503 op al de verzoeken",
		"It has the topic of the old one, so every device stays within reach and nobody has to enrol again. It strands the 1,234 devices that are enrolled.": "Het heeft het onderwerp van het oude, dus elk apparaat blijft bereikbaar en niemand hoeft opnieuw in te schrijven. Het laat de 1.234 ingeschreven apparaten stranden.",
		"The server is down for 8d12h":                       "De server ligt stil gedurende 8 dagen 12 u",
		"The users of 0.5% of all devices are asked to sync": "De gebruikers van 0,5% van alle apparaten wordt gevraagd te synchroniseren",
		"quite unheard-of":                                   "quite unheard-of",
	} {
		if got := Dutch.Retell(said); got != want {
			t.Errorf("%q is retold as %q, want %q", said, got, want)
		}
		if got := English.Retell(said); got != said {
			t.Errorf("%q is retold in English as %q", said, got)
		}
	}
}

// What is not from here, such as a log of somebody else's, breaks nothing.
func FuzzRetell(f *testing.F) {
	for _, p := range pairs("story") {
		f.Add(p[English])
	}
	f.Add("\xe2 within % ") // no letter, and begun again and again once
	f.Fuzz(func(t *testing.T, said string) { Dutch.Retell(said) })
}
