package lang

import (
	"strconv"
	"testing"
)

func TestRetell(t *testing.T) {
	for said, want := range map[string]string{
		"":                          "",
		"The server is down for 6h": "De server ligt stil gedurende 6 u",
		"Profile \"mail \\\"x\\\"\" is assigned to group sales":                               "Profiel \"mail \\\"x\\\"\" wordt toegewezen aan groep sales",
		"The users of 40% of all devices are asked to sync":                                   "De gebruikers van 40% van alle apparaten krijgen de vraag te synchroniseren",
		"The iPhones are locked":                                                              "De iPhones worden vergrendeld",
		"50% of the users with a basic licence get a licence that entitles Intune, within 2d": "50% van de gebruikers met een basislicentie krijgen een licentie met recht op Intune, binnen 2 dagen",
		"1 more device enrols within 8h":                                                      "Nog 1 apparaat schrijft in binnen 8 u",
		"The server answers 503 to all the requests":                                          "De server antwoordt 503 op al de verzoeken",
		"It has the topic of the old one, so every device stays within reach and nobody has to enrol again. It strands the 1,234 devices that are enrolled.": "Het heeft het onderwerp van het oude, dus elk apparaat blijft bereikbaar en niemand hoeft opnieuw in te schrijven. Het laat de 1.234 ingeschreven apparaten stranden.",
		"The server is down for 8d12h":                                                             "De server ligt stil gedurende 8 dagen 12 u",
		"The users of 0.5% of all devices are asked to sync":                                       "De gebruikers van 0,5% van alle apparaten krijgen de vraag te synchroniseren",
		"Previewed and confirmed: of 6 devices 1 moves, 1 registers anew, 1 without a user stays.": "Vooraf bekeken en bevestigd: van 6 apparaten gaat er 1 over, registreert er 1 opnieuw en blijft er 1 zonder gebruiker.",
		"Previewed and confirmed: of 1 device 1 moves, 0 register anew.":                           "Vooraf bekeken en bevestigd: van 1 apparaat gaat er 1 over en registreren er 0 opnieuw.",
		"quite unheard-of": "quite unheard-of",
		"generator saturated: one step in a hundred began 4.82 ms or more after it could have; 1.50 s is allowed":                         "generator verzadigd: één op de honderd stappen begon 4,82 ms of meer nadat het had gekund; 1,50 s is toegestaan",
		"in the column \"na 1 dag\": I3 does not hold for 7F: the queue changed between two events: 2 commands were waiting, 1 are":       "in de kolom \"na 1 dag\": I3 geldt niet voor 7F: de wachtrij veranderde tussen twee gebeurtenissen: er wachtten 2 opdrachten, nu 1",
		"ledger: stuck: RestartDevice 7F of device D1: taken and not delivered within 1m0s":                                               "boekhouding: blijven steken: RestartDevice 7F van apparaat D1: aangenomen en niet binnen 1 min bezorgd",
		"ledger: never converged: profile wifi of device D1: wanted, and not there":                                                       "boekhouding: nooit bijgetrokken: profiel wifi van apparaat D1: gewenst, en niet aanwezig",
		"step 1 waits for a yes: The server is restarted; it is about 2 users: ada, bob; a consent once granted is not revoked (AUTH-05)": "stap 1 wacht op een ja: De server wordt opnieuw gestart; het gaat om 2 gebruikers: ada, bob; een eenmaal gegeven toestemming wordt niet ingetrokken (AUTH-05)",
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

// Whatever is kept in English to be told again later is told again in Dutch: each sentence of stories, reasons and steps, by itself.
func TestEverySentenceIsRetold(t *testing.T) {
	for _, s := range sayings() {
		args := make([]any, len(s.verbs))
		for i, verb := range s.verbs {
			if args[i] = "Z" + strconv.Itoa(i); verb == "d" {
				args[i] = 2000 + i
			}
		}
		said, want := English.Say(s.key, args...), Dutch.Say(s.key, args...)
		if got := Dutch.Retell(said); got != want {
			t.Errorf("%q is retold as %q, want %q", said, got, want)
		}
	}
}
