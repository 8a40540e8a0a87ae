// Package api is the JSON API under /rollcall/v1 that administrators and programs call, with a bearer token.
//
// Start with [New]. The routes are data ([Handler] serves them, the OpenAPI document at /rollcall/v1/openapi.json
// is made of them), so that the test of who may call what covers each of them. Bodies are decoded strictly: a
// field that is unknown, given twice or wrongly written is refused with its path, and nothing happens (HST-014).
// Errors are {"error":{"rule","message","field"}}.
//
// A token has a role (AUTH-08, store.Role); a route names the least role that may, and one that names none is
// nobody's. Who may not see something is told that it is not there; who may not do something is refused by AUTH-08. Each
// refusal by rule stands in the journal, with the token's name.
//
// A change that is previewed answers with the preview. One that needs the id of its preview and comes without it, or
// with an outdated one, is refused, and the error has the present preview (AUTH-35, HST-070).
//
// It takes no device certificate for an administrator, whoever presents one, and has no cookie. A list comes in
// pages: limit bounds one, next is the cursor for the one after it, and an empty next ends the list. The journal can be
// waited for: with wait the answer comes as soon as there is a line.
//
// # Divergences
//
// AUTH-08 would have an administrator hold an Intune licence unless that is waived. A token that is called as a user of the
// tenant is that user's, and a change of authority warns of it; a token with another name is nobody's. None is refused for it.
package api
