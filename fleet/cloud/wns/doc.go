// Package wns is the simulated Windows Push Notification Services as their clients see them: the OAuth 2 token endpoint of an app's
// owner, channel URIs, notifications by HTTPS with the X-WNS headers, every documented refusal, throttling, channels that expire,
// and dials that make it misbehave on purpose. Any WNS client can be pointed at it; on its other side stand devices of the same
// process.
//
// Start with [New] and [Service.Serve]; devices call [Service.OpenChannel] and [Service.Connect]. A notification to a connected
// device has been handed to it before the 200 leaves. What the service saw is in [Service.Counters].
//
// It follows section 8 of the Windows specification, which rests on Microsoft's "Push notification service request and response
// headers". It keeps nothing on disk and shares no code with the server that pushes through it.
//
// # Divergences
//
// How a device opens a channel, and how it hears of a notification, is not public: here both are calls. Where Microsoft's pages are
// silent or the real service is laxer, this one does as follows:
//
//   - Requests are checked in a fixed order: method, access token, channel, app, headers, body, rate.
//   - A token endpoint of both flows is there: /accesstoken.srf (an app's package SID, scope notify.windows.com) and
//     /TENANT/oauth2/v2.0/token (an application of Entra ID, scope https://wns.windows.com/.default).
//   - Without [Config.Apps] any client id with any secret is an app of its own, and may send to all channels.
//   - Of a kind that may be cached the last notification is kept, of toasts the last five, for X-WNS-TTL or else [MaxKept].
//   - X-WNS-Status and X-WNS-DeviceConnectionStatus come with X-WNS-RequestForStatus alone.
//   - Microsoft publishes no rate per channel; [Config.PerChannel] is ours. Its 406 carries Retry-After.
//   - Notifications cannot be removed (DELETE), and tags replace nothing.
package wns
