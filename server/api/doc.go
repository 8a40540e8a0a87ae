// Package api is the JSON API under /rollcall/v1 that administrators and programs call, with a bearer token.
//
// Start with [New]. The routes are data ([Handler] serves them, the OpenAPI document at /rollcall/v1/openapi.json
// is made of them), so that the test of who may call what covers each of them. Bodies are decoded strictly: a
// field that is unknown, given twice or wrongly written is refused with its path, and nothing happens (HST-014).
// Errors are {"error":{"rule","message","field"}}.
//
// It takes no device certificate for an administrator, whoever presents one, and has no cookie. A list comes in
// pages: limit bounds one, next is the cursor for the one after it, and an empty next ends the list.
package api
