package rehearsal

import "rollcall/protocol/lang"

// known says in t's language what a ready plan calls an act, the server's journal and lists say of a device, or a request is called;
// what it does not know is from a plan's author or has a name in it, and stays as it is.
func (t *telling) known(said string) string { return known(t.Language, said) }

func known(l lang.Language, said string) string {
	if key := lang.Key(said); fromElsewhere[key] {
		return l.Say(key)
	}
	return said
}

// fromElsewhere is what known knows.
var fromElsewhere = map[lang.Key]bool{
	// The acts of the ready plans.
	lang.Key("Configuration Manager joins in and the gap opens"):                true,
	lang.Key("Intune is added and a renewed push certificate uploaded"):         true,
	lang.Key("Intune is added and nobody moves"):                                true,
	lang.Key("Intune is added and the gap opens"):                               true,
	lang.Key("Intune is added and those without a user stay"):                   true,
	lang.Key("Macs and new devices without a user enrol"):                       true,
	lang.Key("a certificate with another topic strands everybody"):              true,
	lang.Key("a command for everybody"):                                         true,
	lang.Key("a profile for everybody"):                                         true,
	lang.Key("a quiet day"):                                                     true,
	lang.Key("a renewed one of the same topic brings them back"):                true,
	lang.Key("a renewed push certificate closes the gap"):                       true,
	lang.Key("all is well again"):                                               true,
	lang.Key("everybody comes back to a server that was away"):                  true,
	lang.Key("everybody enrols again"):                                          true,
	lang.Key("everybody enrols within a week"):                                  true,
	lang.Key("four waves of licences"):                                          true,
	lang.Key("half of the users get a licence and move"):                        true,
	lang.Key("new ones belong to Intune"):                                       true,
	lang.Key("pushes are lost"):                                                 true,
	lang.Key("shared iPads and kiosks are there and users enrol"):               true,
	lang.Key("support moves half of them"):                                      true,
	lang.Key("support moves the devices without a user"):                        true,
	lang.Key("the certificate has ended and Apple devices are silent"):          true,
	lang.Key("the push service is down"):                                        true,
	lang.Key("the server is busy"):                                              true,
	lang.Key("the seven days are over and the rest of the old profiles leaves"): true,
	lang.Key("the warnings of the last days go unread"):                         true,
	lang.Key("the week of renewals"):                                            true,
	lang.Key("they enrol again"):                                                true,
	lang.Key("users enrol under Basic Mobility and Security"):                   true,
	lang.Key("users enrol under Intune"):                                        true,
	lang.Key("users in trouble unenrol and enrol again"):                        true,
	lang.Key("who was away is refused"):                                         true,
	lang.Key("whoever was away"):                                                true,

	// Lives of devices, states of profiles, why enrolments ended, and why the server refused something.
	lang.Key("erased"):                                   true,
	lang.Key("retired"):                                  true,
	lang.Key("the device left"):                          true,
	lang.Key("the device enrols again"):                  true,
	lang.Key("the device was wiped"):                     true,
	lang.Key("the machine was enrolled anew"):            true,
	lang.Key("the enrolment was not finished"):           true,
	lang.Key("enrolling"):                                true,
	lang.Key("enrolled"):                                 true,
	lang.Key("ended"):                                    true,
	lang.Key("installing"):                               true,
	lang.Key("install failed"):                           true,
	lang.Key("removing"):                                 true,
	lang.Key("remove failed"):                            true,
	lang.Key("the certificate is not enrolled"):          true,
	lang.Key("the identity is revoked"):                  true,
	lang.Key("the identity expired"):                     true,
	lang.Key("the identity was replaced by a newer one"): true,
	lang.Key("the device asks too often"):                true,
	lang.Key("the device is not enrolled"):               true,
	lang.Key("the device is leaving already: what is ordered now it would never hear of"):                             true,
	lang.Key("a lock is pending; a second one would leave the device with the first PIN"):                             true,
	lang.Key("the certificate was issued for another device"):                                                         true,
	lang.Key("the certificate was issued for another serial number"):                                                  true,
	lang.Key("a device with this identifier is enrolled, and the certificate was issued for neither it nor its user"): true,
	lang.Key("nobody manages this device"):                                                                            true,
	lang.Key("the device has a user: it moves by itself"):                                                             true,

	// Requests that have no name of their own in a protocol.
	lang.Key("profile"):           true,
	lang.Key("ADE profile"):       true,
	lang.Key("probe"):             true,
	lang.Key("discovery"):         true,
	lang.Key("policy"):            true,
	lang.Key("certificate"):       true,
	lang.Key("Android discovery"): true,
	lang.Key("Android enrolment"): true,
	lang.Key("Android check-in"):  true,
	lang.Key("Android farewell"):  true,
}
