// Package dialect is the device's side of each platform's conversation, without I/O: which request to make next,
// and what the answer does to the device. The state behind it is package agent's.
//
// Start with [NewApple] and [Apple.Enrol]; from then on [Apple.Begin] starts a conversation, and every [Act] says what
// to do: [Send] a request and tell [Apple.Answer] what came of it, [GetIdentity] and tell [Apple.GotIdentity], or
// [Rest] until [Apple.Due] or a push whose magic [Apple.Woken] knows. Package link does all that over HTTP.
//
// [NewAndroid] and [Android.Enrol] are the same for an Android device, whose server side is package protocol/android's page,
// and [NewWindows] and [Windows.Enrol] for a Windows device.
//
// A device asleep is about a kilobyte: what many devices have in common (model, habits, the server's side of the
// enrolment, the outline of a profile) is held once for all of them; keys and certificates are bytes until they are
// needed.
//
// # What an Apple device here does and does not
//
// It has a device channel only: no user channel, no declarative management, no bootstrap token, no account-driven
// enrolment. Identities come by SCEP, with the kind of key that the caller makes, whatever Keysize the profile names; ACME
// and PKCS#12 payloads fail the profile. ReturnToService and ObliterationBehavior of EraseDevice change nothing. Where Apple's behaviour is
// unknown, [Doubts] has a switch for each way; its zero value is rollcall's choice. A binary plist is never
// accepted (HST-005), so that question has no switch.
//
// Of a change of authority it hears by rollcall's own header, which real devices ignore (see package protocol/apple).
//
// # What an Android device here does and does not
//
// It has the role dpc in every mode of the protocol, and owns its device or work profile alone: no companion, no Google. Management ends by
// its user's hand or by an order that its server signed, by nothing else. What a policy says is judged where a device can know: the API
// level, the mode, apps that are missing, and its habit of failing. A policy is applied by difference; what the server has still to hear of
// it, and of commands, is sent again as it was until it was heard.
//
// # What a Windows device here does and does not
//
// It finds its server by discovery, signs in by password, by a web page's token ([WebSignIn]) or by a token of the directory, and has a
// certificate made for a key that the caller makes ([MakeRequest]). In a session it carries out what the server says on a tree of settings:
// a description that all devices share says what may be done to each node, what servers wrote is held once for all devices that have it,
// and the rest is computed when it is asked for. It answers each command by its code, puts large objects together, and takes the notice of
// a change of authority out of DeviceManageability/Provider/<provider>/ConfigInfo. A session that the signed-in user's own poll brings
// about is that user's alone (synctype). Where it was told to, the device keeps a session alive while it is at the server's commands, and
// it shows tokens of its directory where they are asked for. It has no session of a second user, signs no message of a session, asks no
// SCEP authority (a profile is done once Enroll was executed), sends no large objects of its own and no generic alert but that of leaving,
// and reads nothing out of a profile's document. After RemoteWipe, and before a restart, the session ends with the device's answer to the
// order. Where windows.md marks a behaviour as open, [WindowsDoubts] has a switch; its zero value is rollcall's choice. A real machine
// (WindowsHabits.Seal) leaves only by an order that its server signed, and tells only what it knows of itself. A renewed identity takes the
// old one's place at once; when the answer that brings it is lost, the old one goes on until RetryInterval has passed.
//
// # Divergences
//
// An Android device whose server asks for too many rounds, or sends a policy that is not its own, has had a failed check-in and keeps what
// it has. One whose first check-in was cut off goes on with the certificate that it has, when it is told to enrol again with the same token.
//
// A simulated device remembers the last commands that it carried out beyond the 2xx for their report: a server that
// forgot the report and hands the same CommandUUID out again gets the same Acknowledged without a second installation
// (HST-055). Apple documents only the cache until the 2xx.
//
// Removing the MDM profile by command is reported first and done then, so that the server hears of it twice:
// by the report and by the CheckOut.
//
// A device with the habit Ordered, which a real machine is, leaves management only by an answer that its server signed for it
// (header Rollcall-Order, HST-027): what others take for their removal is a failed request, and a command that erases or removes the
// enrolment profile without the signature is reported as failed. It says good-bye after such a 403 too, so that the server hears of it.
// One whose server knows no such header leaves by its user's hand alone. An update of its enrolment profile that brings another key of
// orders, other authorities or pins, or SCEP of another host is reported as failed, though Apple's devices take all but the first (apple.md
// section 11), and so is an identity that none of its authorities signed. A Windows machine takes no new root with a renewal, and stays with
// the host that it was enrolled with.
//
// When the answer to the first word of a renewed identity is lost, the device tries again with the new identity
// and falls back to the old one only when the new one was refused: the server may have retired the old one (AUTH-41,
// HST-034). What real devices do there is not documented.
package dialect
