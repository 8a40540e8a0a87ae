package mischief

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// faults are the mistakes, by the statement that each breaks.
var faults map[string]func(c *call)

func init() {
	faults = map[string]func(c *call){
		"APL-001": wrongType, "APL-002": noChain,
		"APL-005": noGet, "APL-006": copiedNonce, "APL-007": anyChallenge, "APL-008": onceOnly, "APL-011": anyRenewal, "APL-012": weakCapabilities,
		"APL-013": failsOnGarbage, "HST-037": raced, "HST-038": anyMessage, "HST-039": namesOfTheRequest,

		"APL-020": noIdentity, "APL-021": anyBody, "APL-022": anySigner, "APL-023": anyDeviceChecksIn, "APL-024": oneForm, "APL-025": userIsDevice, "HST-023": trustsHeaders,
		"HST-027": goneForStrangers, "HST-030": anyCertificate, "HST-033": anyQueue,

		"APL-030": wholeType, "APL-031": authenticateEnrols, "APL-032": firstToken, "APL-033": knownKeysOnly, "APL-034": othersQueueGoes, "APL-036": oneCheckOut,
		"APL-037": noTokenIsAnError, "APL-038": userFails, "APL-040": anyMessageType, "APL-094": unauthorizedMethod, "HST-001": smallReports,

		"APL-050": endlessNothing, "APL-051": newUUID, "APL-052": oneReport, "APL-053": knownReports, "APL-054": oneConnection, "APL-055": errorIsNotNow,
		"APL-056": offersForEver, "APL-057": endsOnSuccess, "APL-064": anyLock, "APL-065": oneHead, "APL-066": userGetsDevices, "APL-067": plainText,

		"APL-084": anyFactory, "APL-085": untypedRefusal, "APL-086": configuredTwice, "APL-087": someUser, "HST-042": anySerial,
		"APL-035": renewalClears, "APL-090": anotherProfile, "APL-091": oldIdentity, "APL-092": renewalForgets,

		"APL-100": quotesGo, "APL-101": unreachableIsGone, "APL-104": pushEach, "APL-105": (*call).pass, "APL-106": pushBeforeCommit,
		"APL-095": whenever, "APL-102": silentSuspension, "APL-103": anyTopic, "AUTH-30": noGap, "AUTH-30.apple": unauthorizedInGap, "AUTH-31": gapLoses,
		"APL-094/idle": removes((*call).idle, http.StatusUnauthorized), "APL-094/later": removes((*call).puts, http.StatusUnauthorized),
		"APL-094/declarative": removes((*call).declares, http.StatusGone), "APL-094/ended": removesEnded, "APL-091/fails": refuses((*call).puts), "APL-094/signed": unauthorizedNonsense,
		"APL-023/stored": keepsStolen, "APL-023/read": readsAnothers, "APL-040/kept": keepsUnknown, "APL-055/outermost": outermostError, "APL-103/countless": countless,
		"APL-032/later": refuses((*call).saysAgain), "APL-050/page": pageForNothing, "APL-055/fails": refuses((*call).fails), "APL-056/fails": refuses((*call).puts),
		"APL-057/fails": refuses((*call).puts),

		"APL-007/spent": spentIsForbidden, "APL-007/expired": neverExpires, "APL-011/never": neverRenews, "APL-011/challenge": renewsByChallenge, "APL-011/ended": renewsEnded,
		"APL-023/declares": declaresToAnybody, "APL-031/held": missesAnother, "APL-031/pushed": pushesOld, "APL-031/twice": enrolsTwice, "APL-034/token": keepsToken,
		"APL-036/pushed": missesCheckOut, "APL-036/for-ever": leftForEver, "APL-038/any": anyDigest, "APL-051/order": sortsBySeconds, "APL-092/wiped": keepsToken,
		"APL-092/moved": movesRenewed, "APL-101/older": missesToken, "APL-101/insists": (*call).pass, "APL-104/at-once": (*call).pass, "APL-086/once": (*call).pass, "APL-106/early": missesAnother,
		"HST-039/subject": namesOfAnother, "HST-044.apple": spentByRefusal, "HST-044.apple/challenge": spentByFailure, "HST-044/identity": identityIsSpent,
		"AUTH-30/over": endsByItself, "AUTH-33.grace": refusesLate,

		"AND-038": lowerCase, "AND-059": movesUserless, "AND-060": holdsAndroid, "AND-060.gates": noReason, "AND-061": anotherPolicy, "AND-061.version": policyAgain, "AND-062": otherNetworks, "AND-070": noAuthority,
		"AND-071": anotherEnrolment, "AND-072": sleepsAtOnce, "AND-073": anotherAnswer, "AND-074": handsOutOnce, "AND-075": unsignedNotice, "AND-078": unsignedOrder,
		"AND-079": wipesUnordered, "AND-080": anyAndroid, "AND-080.leave": anyFarewell, "AND-081": renewsNobody, "HST-001.android": anySize, "HST-006.android": anyTail,
		"HST-012.android": anyPacked, "HST-014.android": namesNothing, "HST-014.later": knownMembers, "HST-027.android": goneAtWrongPaths, "HST-030.android": anybodyChecksIn,
		"AND-084": anyLevel, "AND-093": (*call).pass, "AUTH-05.android": asksNobody, "AND-084/key": challengeForAll, "AND-084/reason": namelessReason, "AND-093/deaf": firstAddress,
		"HST-037.android": tokenForAll, "HST-044.android": tokenSpent, "HST-051.android": anyPlace, "HST-052.android": knownResults,
		"AND-060/commands": holdsCheckIns, "AND-070/name": anotherName, "AND-071/for-ever": tokenForEver, "AND-074/again": handsOutAgain, "AND-075/never": registersNever, "AND-078/page": pageForOrder,
		"AND-079/lives": endedChecksIn, "AND-080.leave/lives": endedChecksIn, "AND-081/lives": oldChecksIn, "AND-081/early": renewsEarly, "HST-014.android/version": anyVersion,
		"HST-027.android/nonsense": unauthorizedRubbish, "HST-030.android/itself": endedChecksIn, "HST-037.android/challenge": challengeForAll, "HST-037.android/made-up": inventedIsUsed,
		"HST-052.android/later": lastResult,

		"WIN-001": noProbe, "WIN-002": chunks, "WIN-003": newestVersion, "WIN-004": onePolicy, "WIN-005": pageAndMore, "WIN-006": otherMessage, "WIN-007": prefixes, "WIN-008": otherHost,
		"WIN-009": leadsAnywhere, "WIN-010": oldSchema, "WIN-011": strictCSR, "WIN-012": anyCSR, "WIN-013": unwrapped, "WIN-014": anyToken, "WIN-015": oneMAC, "WIN-016": wrongStore,
		"WIN-017": oneMore, "WIN-018": otherSubject, "WIN-019": noEnd, "WIN-020": dueAtOnce, "WIN-021": faultIsFine, "WIN-022": otherLicence, "WIN-022/limit": otherLimit, "WIN-023": leavesRecords, "WIN-024": keepsHardware,
		"WIN-029": anybodyManages, "WIN-030": anySource, "WIN-031": oneQuery, "WIN-032": nothingToSay, "WIN-033": unansweredAlert, "WIN-034": anotherMessage, "WIN-035": anyMost,
		"WIN-036": ordersOnce, "WIN-037": everybodyIsUser, "WIN-038": thereIsDone, "WIN-038.again": triesForEver, "WIN-039": takesAnyProfile, "WIN-040": leavesOnce, "WIN-040.order": otherLeaves,
		"WIN-041": channelOnly, "WIN-042": (*call).pass, "WIN-042/token": (*call).pass, "WIN-042/throttled": (*call).pass, "WIN-042/other-app": (*call).pass, "WIN-043": callsAnywhere, "WIN-017.account": anyAccount, "WIN-063": anyRenewer, "WIN-065": noRenewals, "WIN-067": waitsForNobody, "WIN-068": ownsEverything,
		"WIN-070": deletesFirst, "WIN-070.removal": sendsAgain, "WIN-071": movesNever, "HST-001.windows": anyMessageSize, "HST-003.windows": readsTypes, "HST-006.windows": anyRoots,
		"HST-017": unknownIsFine, "HST-018": firstBody, "HST-037.windows": passwordForAll, "HST-043": anyJWT, "HST-051.windows": anyDeviceID, "HST-054": lastWord,
		"WIN-005/none": noPage, "WIN-007/slash": slashless, "WIN-007/lines": oneLine, "WIN-009/unescaped": unescaped, "WIN-010/keys": shortKeys, "WIN-010/hash": noHash,
		"WIN-012/spent": passwordIsSpent, "WIN-012/code": otherCode, "WIN-016/full": otherStore, "WIN-017/nonce": noNonce, "WIN-017/container": noContainer, "WIN-017/typed": untyped,
		"WIN-017/provider": otherProvider, "WIN-021/words": otherWords, "WIN-029/itself": endedManages, "WIN-030/says": saysWho, "WIN-033/order": statusLast, "WIN-034/numbers": byNumber,
		"WIN-035/says": saysSize, "WIN-036/again": ordersAgain, "WIN-038/missing": missingFails, "WIN-038/gone": goneFails, "WIN-017.account/challenge": noChallenge, "WIN-063/early": earlyRenewer,
		"WIN-065/lives": endedManages, "WIN-065/key": renewsSameKey, "WIN-067/user": somebodysMachine, "WIN-068/never": ownsNothing, "WIN-070.removal/keeps": keepsSettings,
		"WIN-071/early": movesAtOnce, "HST-001.windows/form": anyForm, "HST-006.windows/gone": goneIfBroken, "HST-037.windows/once": answersOnce,

		"WIN-067.package": somebodysPackage, "WIN-067.limits": anyMachine, "WIN-067.limits/replayed": anyReplay, "WIN-067.limits/stranger": anyBootstrap, "WIN-067.limits/old": anyTime,
		"WIN-024.package": keepsMachine, "HST-018.package": anySignature,

		"AUTH-32": noWayBack, "AUTH-33": tooLate, "AUTH-33.warnings": noWarning, "AUTH-34": endedCertificate, "HST-044": linkIsSpent,
	}
}

// bound remembers whose certificate the client's is, from its Authenticate on, and tells it; empty: nobody's yet.
func (c *call) bound() string {
	leaf := c.leaf()
	if leaf == nil {
		return ""
	}
	return c.m.noted("bound " + string(leaf))
}

func (c *call) bind() {
	if leaf := c.leaf(); leaf != nil && c.bound() == "" {
		c.m.note("bound "+string(leaf), c.msg.UDID)
		c.m.note("newest "+c.msg.UDID, string(leaf))
	}
}

// passBinding lets the request through and binds an Authenticate that was taken.
func (c *call) passBinding() *answer {
	a := c.ask(c.body)
	if c.says(apple.Authenticate) && a.status == http.StatusOK {
		c.bind()
	}
	return a
}

// profile tells whether an answer is an enrolment profile for a link.
func (c *call) link(a *answer) bool {
	return c.r.Method == http.MethodGet && a.header.Get("Content-Type") == apple.ProfileType
}

func wrongType(c *call) {
	a := c.ask(c.body)
	if c.link(a) {
		a.header.Set("Content-Type", "text/xml")
	}
	c.give(a)
}

func noIdentity(c *call) {
	if c.device && c.leaf() == nil && c.r.Header.Get("Mdm-Signature") == "" && !passedOn(c.r) {
		c.say(http.StatusOK)
		return
	}
	c.pass()
}

func passedOn(r *http.Request) bool {
	return r.Header.Get("Client-Cert") != "" || r.Header.Get("X-Client-Cert") != "" || r.Header.Get("X-Ssl-Client-Cert") != ""
}

// ownHost is where the devices of a run against a server of ours come from; its proxy has another address.
const ownHost = "127.0.0.1:"

func oneForm(c *call) {
	if v := c.r.Header.Get("Client-Cert"); v != "" && !strings.HasPrefix(v, ":") && !strings.HasPrefix(c.r.RemoteAddr, ownHost) {
		c.say(http.StatusBadRequest)
		return
	}
	c.pass()
}

func trustsHeaders(c *call) {
	if c.device && c.leaf() == nil && passedOn(c.r) && strings.HasPrefix(c.r.RemoteAddr, ownHost) {
		c.say(http.StatusOK)
		return
	}
	c.pass()
}

// signer is whose certificate is in the signature, and whether the CA issued it.
func (c *call) signer() (leaf *x509.Certificate, ours bool) {
	der, err := base64.StdEncoding.DecodeString(c.r.Header.Get("Mdm-Signature"))
	if err != nil || len(der) == 0 || c.leaf() != nil {
		return nil, false
	}
	s, err := certs.ParseSigned(der)
	if err != nil {
		return nil, false
	}
	return s.Signer, s.Signer.CheckSignatureFrom(c.m.ca.Certificate()) == nil
}

func anyBody(c *call) {
	if leaf, ours := c.signer(); leaf != nil && ours {
		c.say(http.StatusOK)
		return
	}
	c.pass()
}

func anySigner(c *call) {
	if leaf, ours := c.signer(); leaf != nil && !ours {
		c.say(http.StatusOK)
		return
	}
	c.pass()
}

func anyCertificate(c *call) {
	if c.device && c.leaf() != nil && c.r.TLS.PeerCertificates[0].CheckSignatureFrom(c.m.ca.Certificate()) != nil {
		c.say(http.StatusOK)
		return
	}
	c.pass()
}

func anyDeviceChecksIn(c *call) {
	if who := c.bound(); c.device && c.msg.MessageType != apple.NoMessageType && who != "" && who != c.msg.UDID {
		c.say(http.StatusOK)
		return
	}
	c.give(c.passBinding())
}

func anyQueue(c *call) {
	if who := c.bound(); c.device && c.msg.MessageType == apple.NoMessageType && who != "" && who != c.msg.UDID {
		c.say(http.StatusOK)
		return
	}
	c.give(c.passBinding())
}

func goneForStrangers(c *call) {
	stranger := c.device && c.leaf() != nil && c.bound() == ""
	a := c.passBinding()
	if stranger && !c.says(apple.Authenticate) && a.status == http.StatusBadRequest {
		a.status = http.StatusGone
	}
	c.give(a)
}

func userIsDevice(c *call) {
	if c.says(apple.TokenUpdate) && c.msg.UserID != "" {
		c.msg.UserID, c.msg.UserShortName = "", ""
		c.give(c.message(&c.msg))
		return
	}
	c.pass()
}

func userGetsDevices(c *call) {
	if c.idle() && c.msg.UserID != "" {
		c.msg.UserID, c.msg.UserShortName = "", ""
		c.give(c.message(&c.msg))
		return
	}
	c.pass()
}

func wholeType(c *call) {
	if kind := c.r.Header.Get("Content-Type"); c.device && strings.HasPrefix(kind, apple.CheckInType) && kind != apple.CheckInType {
		c.say(http.StatusUnsupportedMediaType)
		return
	}
	c.pass()
}

func authenticateEnrols(c *call) {
	a := c.ask(c.body)
	if c.says(apple.Authenticate) && a.status == http.StatusOK {
		c.message(&apple.Message{MessageType: apple.TokenUpdate, UDID: c.msg.UDID, Topic: c.msg.Topic, Token: bytes.Repeat([]byte{7}, 32), PushMagic: "early"})
	}
	c.give(a)
}

func firstToken(c *call) {
	if c.says(apple.TokenUpdate) {
		if len(c.msg.UnlockToken) > 0 {
			c.m.note("unlock "+c.msg.UDID, "yes")
		} else if c.m.noted("unlock "+c.msg.UDID) != "" {
			c.say(http.StatusOK)
			return
		}
	}
	c.pass()
}

func knownKeysOnly(c *call) {
	if c.says(apple.Authenticate) && bytes.Contains(c.body, []byte("<key>Challenge</key>")) {
		c.say(http.StatusBadRequest)
		return
	}
	c.pass()
}

// renews takes note of devices that got a profile to renew with, and tells whether this Authenticate is by another
// certificate than the device had.
func (c *call) renews(a *answer) (another, renewal bool) {
	if c.device && bytes.Contains(a.body, []byte("<string>InstallProfile</string>")) {
		c.m.note("installs "+c.msg.UDID, "yes")
	}
	if !c.says(apple.Authenticate) || a.status != http.StatusOK {
		return false, false
	}
	old := c.m.note("certificate "+c.msg.UDID, string(c.leaf()))
	another = old != "" && old != string(c.leaf())
	return another, another && c.m.noted("installs "+c.msg.UDID) != ""
}

func othersQueueGoes(c *call) {
	if robbed := c.m.noted("rob"); c.idle() && robbed != "" && robbed != c.msg.UDID {
		c.m.note("rob", "")
		c.say(http.StatusOK)
		return
	}
	a := c.ask(c.body)
	if c.says(apple.SetBootstrapToken) {
		c.m.note("token "+c.msg.UDID, "yes")
	}
	if another, renewal := c.renews(a); another && !renewal && c.m.noted("token "+c.msg.UDID) != "" {
		c.m.note("rob", c.msg.UDID)
	}
	c.give(a)
}

func renewalClears(c *call) {
	a := c.ask(c.body)
	if _, renewal := c.renews(a); renewal {
		c.m.note("clear "+c.msg.UDID, "yes")
	}
	if c.report() && len(a.body) > 0 && c.m.note("clear "+c.msg.UDID, "") != "" {
		a.body = nil
	}
	c.give(a)
}

func renewalForgets(c *call) {
	a := c.ask(c.body)
	if _, renewal := c.renews(a); renewal {
		c.m.note("forgot "+c.msg.UDID, "yes")
	}
	if c.says(apple.GetBootstrapToken) && c.m.noted("forgot "+c.msg.UDID) != "" {
		a.body = nil
	}
	c.give(a)
}

func anotherProfile(c *call) {
	a := c.ask(c.body)
	if id, command, err := apple.DecodeCommand(a.body); c.device && err == nil {
		if install, ok := command.(apple.InstallProfile); ok {
			if p, err := apple.DecodeProfile(install.Payload); err == nil {
				p.Identifier += ".next"
				a.body = apple.EncodeCommand(nil, id, apple.InstallProfile{Payload: apple.EncodeProfile(p)})
			}
		}
	}
	c.give(a)
}

func oldIdentity(c *call) {
	if leaf := c.leaf(); c.device && leaf != nil && !c.says(apple.Authenticate) {
		newest := c.m.noted("newest " + c.msg.UDID)
		if c.bound() == c.msg.UDID && newest != string(leaf) {
			c.say(http.StatusOK)
			return
		}
	}
	c.give(c.passBinding())
}

func oneCheckOut(c *call) {
	if c.says(apple.CheckOut) && c.m.note("left "+c.msg.UDID, "yes") != "" {
		c.say(http.StatusNotFound)
		return
	}
	c.pass()
}

func noTokenIsAnError(c *call) {
	a := c.ask(c.body)
	if token, _ := apple.DecodeBootstrapToken(a.body); c.says(apple.GetBootstrapToken) && a.status == http.StatusOK && len(token) == 0 {
		a.status = http.StatusNotFound
	}
	c.give(a)
}

func userFails(c *call) {
	if c.says(apple.UserAuthenticate) {
		c.say(http.StatusInternalServerError)
		return
	}
	c.pass()
}

var messageType = regexp.MustCompile(`<key>MessageType</key>\s*<string>([A-Za-z]+)</string>`)

func anyMessageType(c *call) {
	if found := messageType.FindSubmatch(c.body); c.r.Method == http.MethodPut && !c.device && found != nil && bytes.HasSuffix(bytes.TrimSpace(c.body), []byte("</plist>")) {
		known := []string{"Authenticate", "TokenUpdate", "CheckOut", "SetBootstrapToken", "GetBootstrapToken", "UserAuthenticate", "GetToken", "DeclarativeManagement"}
		if !slices.Contains(known, string(found[1])) {
			c.say(http.StatusOK)
			return
		}
	}
	c.pass()
}

func unauthorizedMethod(c *call) {
	a := c.ask(c.body)
	if c.r.Method == http.MethodGet && a.status == http.StatusMethodNotAllowed && !strings.HasPrefix(c.r.URL.Path, "/android/") {
		a.status = http.StatusUnauthorized
	}
	c.give(a)
}

func smallReports(c *call) {
	if c.report() && len(c.body) > 1<<20 {
		c.say(http.StatusRequestEntityTooLarge)
		return
	}
	c.pass()
}

func untypedRefusal(c *call) {
	a := c.ask(c.body)
	if c.r.Method == http.MethodPost && a.status == http.StatusForbidden && a.header.Get("Content-Type") == "application/json" {
		a.header.Set("Content-Type", "text/plain")
	}
	c.give(a)
}

func anyFactory(c *call) {
	a := c.ask(c.body)
	if c.r.Method == http.MethodPost && a.header.Get("Content-Type") == apple.ProfileType {
		c.m.note("profile", string(a.body))
	}
	if kept := c.m.noted("profile"); c.r.Method == http.MethodPost && a.status == http.StatusForbidden && strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") && kept != "" &&
		strings.HasPrefix(c.r.URL.Path, "/apple/") {
		a = &answer{status: http.StatusOK, header: http.Header{"Content-Type": {apple.ProfileType}}, body: []byte(kept)}
	}
	c.give(a)
}

func anySerial(c *call) {
	stranger := c.bound() == ""
	a := c.passBinding()
	if c.says(apple.Authenticate) && stranger && a.status == http.StatusBadRequest {
		a.status, a.body = http.StatusOK, nil
	}
	c.give(a)
}

func configuredTwice(c *call) {
	a := c.ask(c.body)
	key := "configured " + c.msg.UDID
	switch kept := c.m.noted(key); {
	case c.device && bytes.Contains(a.body, []byte("<string>DeviceConfigured</string>")):
		c.m.note(key, string(a.body))
	case c.report() && c.msg.Status == protocol.Acknowledged && len(a.body) == 0 && kept != "":
		c.m.note(key, "")
		a.body = []byte(kept)
		a.header.Set("Content-Type", apple.AnswerType)
	}
	c.give(a)
}

func quotesGo(c *call) {
	if c.says(apple.TokenUpdate) && strings.Contains(c.msg.PushMagic, `"`) {
		c.msg.PushMagic = strings.ReplaceAll(c.msg.PushMagic, `"`, "")
		c.give(c.message(&c.msg))
		return
	}
	c.pass()
}
