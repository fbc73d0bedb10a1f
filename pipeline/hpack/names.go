package hpack

// A policy says what an Encoder does with the field lines of one name. The zero policy is for what comes again with the
// same value: it enters the table, and costs a byte or two from then on.
type policy uint8

const (
	// unindexed is for what differs with each answer, and would only push other entries out.
	unindexed policy = iota + 1
	// neverIndexed is for secrets: no hop may keep them in a table where the lengths of later blocks would tell whether a
	// guess is right (RFC 7541, section 7.1).
	neverIndexed
)

// A knownName is a field's name that is met without an allocation, and written without being lowered.
type knownName struct {
	lower     string
	canonical string // as http.Header has it; a pseudo-field has none
	static    uint8  // the index of the name's first entry in the static table, 0 for a name that has none
	statics   uint8  // how many entries there have the name, one behind the other
	policy    policy
}

// lookUp returns the number that a name has in knownNames, whatever its case, or 0, which is the number of none.
func lookUp(name string) uint8 {
	if len(name) == 0 {
		return 0
	}
	number := knownSlots[nameKey(name)*knownFactor>>(64-knownBits)]
	known := &knownNames[number]
	if name == known.canonical || name == known.lower || equalFold(known.lower, name) {
		return number
	}
	return 0
}

// nameKey returns a number that no two known names share. The bit 0x20 makes an upper-case letter a lower one; what it
// makes of other characters needs a comparison.
func nameKey(name string) uint64 {
	n := len(name)
	return uint64(n) | uint64(name[0]|0x20)<<8 | uint64(name[n/4]|0x20)<<40 | uint64(name[n/2]|0x20)<<16 |
		uint64(name[n*3/4]|0x20)<<32 | uint64(name[n-1]|0x20)<<24
}

// equalFold tells whether name is lower when its letters are made lower-case ones.
func equalFold(lower, name string) bool {
	if len(lower) != len(name) {
		return false
	}
	for i := range len(lower) {
		if lower[i] != lowered(name[i]) {
			return false
		}
	}
	return true
}

func lowered(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// knownNames are the static table's names and those that browsers, backends and their frameworks send besides.
var knownNames = [...]knownName{
	1:   {lower: ":authority", static: 1, statics: 1},
	2:   {lower: ":method", static: 2, statics: 2},
	3:   {lower: ":path", static: 4, statics: 2},
	4:   {lower: ":scheme", static: 6, statics: 2},
	5:   {lower: ":status", static: 8, statics: 7},
	6:   {lower: ":protocol"},
	7:   {lower: "accept-charset", canonical: "Accept-Charset", static: 15, statics: 1},
	8:   {lower: "accept-encoding", canonical: "Accept-Encoding", static: 16, statics: 1},
	9:   {lower: "accept-language", canonical: "Accept-Language", static: 17, statics: 1},
	10:  {lower: "accept-ranges", canonical: "Accept-Ranges", static: 18, statics: 1},
	11:  {lower: "accept", canonical: "Accept", static: 19, statics: 1},
	12:  {lower: "access-control-allow-origin", canonical: "Access-Control-Allow-Origin", static: 20, statics: 1},
	13:  {lower: "age", canonical: "Age", static: 21, statics: 1, policy: unindexed},
	14:  {lower: "allow", canonical: "Allow", static: 22, statics: 1},
	15:  {lower: "authorization", canonical: "Authorization", static: 23, statics: 1, policy: neverIndexed},
	16:  {lower: "cache-control", canonical: "Cache-Control", static: 24, statics: 1},
	17:  {lower: "content-disposition", canonical: "Content-Disposition", static: 25, statics: 1},
	18:  {lower: "content-encoding", canonical: "Content-Encoding", static: 26, statics: 1},
	19:  {lower: "content-language", canonical: "Content-Language", static: 27, statics: 1},
	20:  {lower: "content-length", canonical: "Content-Length", static: 28, statics: 1, policy: unindexed},
	21:  {lower: "content-location", canonical: "Content-Location", static: 29, statics: 1},
	22:  {lower: "content-range", canonical: "Content-Range", static: 30, statics: 1, policy: unindexed},
	23:  {lower: "content-type", canonical: "Content-Type", static: 31, statics: 1},
	24:  {lower: "cookie", canonical: "Cookie", static: 32, statics: 1},
	25:  {lower: "date", canonical: "Date", static: 33, statics: 1},
	26:  {lower: "etag", canonical: "Etag", static: 34, statics: 1, policy: unindexed},
	27:  {lower: "expect", canonical: "Expect", static: 35, statics: 1},
	28:  {lower: "expires", canonical: "Expires", static: 36, statics: 1, policy: unindexed},
	29:  {lower: "from", canonical: "From", static: 37, statics: 1},
	30:  {lower: "host", canonical: "Host", static: 38, statics: 1},
	31:  {lower: "if-match", canonical: "If-Match", static: 39, statics: 1},
	32:  {lower: "if-modified-since", canonical: "If-Modified-Since", static: 40, statics: 1},
	33:  {lower: "if-none-match", canonical: "If-None-Match", static: 41, statics: 1},
	34:  {lower: "if-range", canonical: "If-Range", static: 42, statics: 1},
	35:  {lower: "if-unmodified-since", canonical: "If-Unmodified-Since", static: 43, statics: 1},
	36:  {lower: "last-modified", canonical: "Last-Modified", static: 44, statics: 1, policy: unindexed},
	37:  {lower: "link", canonical: "Link", static: 45, statics: 1},
	38:  {lower: "location", canonical: "Location", static: 46, statics: 1, policy: unindexed},
	39:  {lower: "max-forwards", canonical: "Max-Forwards", static: 47, statics: 1},
	40:  {lower: "proxy-authenticate", canonical: "Proxy-Authenticate", static: 48, statics: 1, policy: neverIndexed},
	41:  {lower: "proxy-authorization", canonical: "Proxy-Authorization", static: 49, statics: 1, policy: neverIndexed},
	42:  {lower: "range", canonical: "Range", static: 50, statics: 1},
	43:  {lower: "referer", canonical: "Referer", static: 51, statics: 1},
	44:  {lower: "refresh", canonical: "Refresh", static: 52, statics: 1},
	45:  {lower: "retry-after", canonical: "Retry-After", static: 53, statics: 1},
	46:  {lower: "server", canonical: "Server", static: 54, statics: 1},
	47:  {lower: "set-cookie", canonical: "Set-Cookie", static: 55, statics: 1, policy: neverIndexed},
	48:  {lower: "strict-transport-security", canonical: "Strict-Transport-Security", static: 56, statics: 1},
	49:  {lower: "transfer-encoding", canonical: "Transfer-Encoding", static: 57, statics: 1},
	50:  {lower: "user-agent", canonical: "User-Agent", static: 58, statics: 1},
	51:  {lower: "vary", canonical: "Vary", static: 59, statics: 1},
	52:  {lower: "via", canonical: "Via", static: 60, statics: 1},
	53:  {lower: "www-authenticate", canonical: "Www-Authenticate", static: 61, statics: 1},
	54:  {lower: "accept-ch", canonical: "Accept-Ch"},
	55:  {lower: "accept-patch", canonical: "Accept-Patch"},
	56:  {lower: "accept-post", canonical: "Accept-Post"},
	57:  {lower: "access-control-allow-credentials", canonical: "Access-Control-Allow-Credentials"},
	58:  {lower: "access-control-allow-headers", canonical: "Access-Control-Allow-Headers"},
	59:  {lower: "access-control-allow-methods", canonical: "Access-Control-Allow-Methods"},
	60:  {lower: "access-control-expose-headers", canonical: "Access-Control-Expose-Headers"},
	61:  {lower: "access-control-max-age", canonical: "Access-Control-Max-Age"},
	62:  {lower: "access-control-request-headers", canonical: "Access-Control-Request-Headers"},
	63:  {lower: "access-control-request-method", canonical: "Access-Control-Request-Method"},
	64:  {lower: "alt-svc", canonical: "Alt-Svc"},
	65:  {lower: "alt-used", canonical: "Alt-Used"},
	66:  {lower: "baggage", canonical: "Baggage"},
	67:  {lower: "cdn-cache-control", canonical: "Cdn-Cache-Control"},
	68:  {lower: "clear-site-data", canonical: "Clear-Site-Data"},
	69:  {lower: "connection", canonical: "Connection"},
	70:  {lower: "content-security-policy", canonical: "Content-Security-Policy"},
	71:  {lower: "content-security-policy-report-only", canonical: "Content-Security-Policy-Report-Only"},
	72:  {lower: "cross-origin-embedder-policy", canonical: "Cross-Origin-Embedder-Policy"},
	73:  {lower: "cross-origin-opener-policy", canonical: "Cross-Origin-Opener-Policy"},
	74:  {lower: "cross-origin-resource-policy", canonical: "Cross-Origin-Resource-Policy"},
	75:  {lower: "dnt", canonical: "Dnt"},
	76:  {lower: "early-data", canonical: "Early-Data"},
	77:  {lower: "forwarded", canonical: "Forwarded"},
	78:  {lower: "grpc-accept-encoding", canonical: "Grpc-Accept-Encoding"},
	79:  {lower: "grpc-encoding", canonical: "Grpc-Encoding"},
	80:  {lower: "grpc-message", canonical: "Grpc-Message"},
	81:  {lower: "grpc-status", canonical: "Grpc-Status"},
	82:  {lower: "grpc-timeout", canonical: "Grpc-Timeout"},
	83:  {lower: "idempotency-key", canonical: "Idempotency-Key"},
	84:  {lower: "keep-alive", canonical: "Keep-Alive"},
	85:  {lower: "last-event-id", canonical: "Last-Event-Id"},
	86:  {lower: "nel", canonical: "Nel"},
	87:  {lower: "origin", canonical: "Origin"},
	88:  {lower: "permissions-policy", canonical: "Permissions-Policy"},
	89:  {lower: "pragma", canonical: "Pragma"},
	90:  {lower: "priority", canonical: "Priority"},
	91:  {lower: "proxy-connection", canonical: "Proxy-Connection"},
	92:  {lower: "referrer-policy", canonical: "Referrer-Policy"},
	93:  {lower: "report-to", canonical: "Report-To"},
	94:  {lower: "reporting-endpoints", canonical: "Reporting-Endpoints"},
	95:  {lower: "sec-ch-ua", canonical: "Sec-Ch-Ua"},
	96:  {lower: "sec-ch-ua-arch", canonical: "Sec-Ch-Ua-Arch"},
	97:  {lower: "sec-ch-ua-full-version-list", canonical: "Sec-Ch-Ua-Full-Version-List"},
	98:  {lower: "sec-ch-ua-mobile", canonical: "Sec-Ch-Ua-Mobile"},
	99:  {lower: "sec-ch-ua-model", canonical: "Sec-Ch-Ua-Model"},
	100: {lower: "sec-ch-ua-platform", canonical: "Sec-Ch-Ua-Platform"},
	101: {lower: "sec-ch-ua-platform-version", canonical: "Sec-Ch-Ua-Platform-Version"},
	102: {lower: "sec-fetch-dest", canonical: "Sec-Fetch-Dest"},
	103: {lower: "sec-fetch-mode", canonical: "Sec-Fetch-Mode"},
	104: {lower: "sec-fetch-site", canonical: "Sec-Fetch-Site"},
	105: {lower: "sec-fetch-user", canonical: "Sec-Fetch-User"},
	106: {lower: "sec-gpc", canonical: "Sec-Gpc"},
	107: {lower: "sec-purpose", canonical: "Sec-Purpose"},
	108: {lower: "sec-websocket-extensions", canonical: "Sec-Websocket-Extensions"},
	109: {lower: "sec-websocket-key", canonical: "Sec-Websocket-Key"},
	110: {lower: "sec-websocket-protocol", canonical: "Sec-Websocket-Protocol"},
	111: {lower: "sec-websocket-version", canonical: "Sec-Websocket-Version"},
	112: {lower: "server-timing", canonical: "Server-Timing"},
	113: {lower: "sourcemap", canonical: "Sourcemap"},
	114: {lower: "te", canonical: "Te"},
	115: {lower: "timing-allow-origin", canonical: "Timing-Allow-Origin"},
	116: {lower: "traceparent", canonical: "Traceparent", policy: unindexed},
	117: {lower: "tracestate", canonical: "Tracestate", policy: unindexed},
	118: {lower: "trailer", canonical: "Trailer"},
	119: {lower: "upgrade", canonical: "Upgrade"},
	120: {lower: "upgrade-insecure-requests", canonical: "Upgrade-Insecure-Requests"},
	121: {lower: "warning", canonical: "Warning"},
	122: {lower: "x-amzn-trace-id", canonical: "X-Amzn-Trace-Id"},
	123: {lower: "x-api-key", canonical: "X-Api-Key"},
	124: {lower: "x-b3-sampled", canonical: "X-B3-Sampled"},
	125: {lower: "x-b3-spanid", canonical: "X-B3-Spanid"},
	126: {lower: "x-b3-traceid", canonical: "X-B3-Traceid"},
	127: {lower: "x-cache", canonical: "X-Cache"},
	128: {lower: "x-cache-status", canonical: "X-Cache-Status"},
	129: {lower: "x-content-type-options", canonical: "X-Content-Type-Options"},
	130: {lower: "x-correlation-id", canonical: "X-Correlation-Id"},
	131: {lower: "x-csrf-token", canonical: "X-Csrf-Token"},
	132: {lower: "x-dns-prefetch-control", canonical: "X-Dns-Prefetch-Control"},
	133: {lower: "x-forwarded-for", canonical: "X-Forwarded-For"},
	134: {lower: "x-forwarded-host", canonical: "X-Forwarded-Host"},
	135: {lower: "x-forwarded-port", canonical: "X-Forwarded-Port"},
	136: {lower: "x-forwarded-proto", canonical: "X-Forwarded-Proto"},
	137: {lower: "x-frame-options", canonical: "X-Frame-Options"},
	138: {lower: "x-permitted-cross-domain-policies", canonical: "X-Permitted-Cross-Domain-Policies"},
	139: {lower: "x-powered-by", canonical: "X-Powered-By"},
	140: {lower: "x-ratelimit-limit", canonical: "X-Ratelimit-Limit"},
	141: {lower: "x-ratelimit-remaining", canonical: "X-Ratelimit-Remaining"},
	142: {lower: "x-ratelimit-reset", canonical: "X-Ratelimit-Reset"},
	143: {lower: "x-real-ip", canonical: "X-Real-Ip"},
	144: {lower: "x-request-id", canonical: "X-Request-Id", policy: unindexed},
	145: {lower: "x-requested-with", canonical: "X-Requested-With"},
	146: {lower: "x-response-time", canonical: "X-Response-Time"},
	147: {lower: "x-robots-tag", canonical: "X-Robots-Tag"},
	148: {lower: "x-runtime", canonical: "X-Runtime"},
	149: {lower: "x-served-by", canonical: "X-Served-By"},
	150: {lower: "x-ua-compatible", canonical: "X-Ua-Compatible"},
	151: {lower: "x-xss-protection", canonical: "X-Xss-Protection"},
}

// knownSlots is a perfect hash of knownNames: the number of the name whose key, times knownFactor, has the slot's number as
// its upper bits. The factor was found by trying; a name that is added may need another, which this table's test finds.
const (
	knownBits   = 10
	knownFactor = 0xfb4c9dca0d75bc4d
)

var knownSlots = [1 << knownBits]uint8{
	26, 0, 0, 0, 105, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 58, 0, 0, 0, 0, 0, 118,
	116, 0, 0, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 31, 0, 0, 22, 0, 0, 0, 0, 0, 0, 29, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 45, 0, 0, 0, 0, 28, 0, 57, 0, 0, 0, 0, 0, 0, 137, 0, 0, 129,
	0, 108, 0, 0, 13, 0, 0, 0, 0, 0, 120, 0, 53, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 39, 0, 67, 0, 0, 0, 0, 135, 0, 0, 0, 0, 0, 0, 0, 0, 0, 36, 0,
	0, 0, 0, 0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0, 96, 0, 0, 101, 0, 0, 49, 0, 0, 0,
	136, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40, 0, 0, 0, 55, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 85, 0, 0, 0, 0, 0, 0, 0, 0, 0, 149, 0, 0, 0, 0, 123, 80, 0, 0, 0, 112, 113,
	0, 33, 0, 148, 0, 0, 0, 0, 0, 19, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 82, 0, 0, 56, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 21, 0, 0, 0, 0, 0, 0, 0, 0, 59, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 133, 35, 71, 0, 0, 70, 0, 0, 0,
	0, 0, 0, 114, 0, 98, 0, 0, 0, 84, 0, 0, 0, 75, 27, 0, 0, 0, 103, 0, 20, 0, 0, 0,
	0, 0, 0, 0, 0, 23, 0, 0, 0, 0, 115, 0, 0, 47, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 87, 0, 0, 140, 0, 0, 0, 0, 0, 0, 125,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 69, 0, 0, 0,
	83, 0, 0, 0, 0, 0, 0, 0, 0, 62, 0, 0, 0, 0, 107, 0, 0, 0, 37, 0, 0, 0, 0, 0,
	1, 0, 0, 0, 0, 0, 145, 66, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 127, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 79, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 0, 73, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 48, 68, 0, 106, 0, 122, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 90, 0, 0, 0, 0, 0, 0, 0, 94, 0, 0,
	0, 0, 124, 0, 0, 0, 0, 0, 130, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	111, 0, 0, 0, 6, 0, 42, 0, 0, 0, 0, 0, 0, 97, 0, 0, 0, 0, 16, 0, 0, 0, 65, 0,
	0, 0, 0, 0, 18, 0, 0, 91, 0, 72, 0, 61, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 89, 0, 0, 88, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 86, 0, 0, 0, 0, 0,
	0, 0, 147, 119, 30, 0, 104, 9, 0, 0, 32, 0, 0, 0, 0, 0, 0, 64, 0, 126, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 74, 0, 0, 4, 0, 150, 138, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 142, 0, 0, 0, 0, 0, 102, 144, 0, 0, 0, 0, 0, 0, 0, 0, 78, 0, 0, 0, 93,
	146, 0, 0, 0, 0, 134, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 95, 143, 0, 0, 0, 0, 0, 0, 0, 0, 0, 92, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 24, 0, 0, 0, 0, 0, 77, 0, 131, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 46, 0, 0, 0, 0, 132, 0, 0, 0, 0, 0, 0, 0, 17, 0, 63, 0, 7, 110, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 44, 0, 0, 0, 0, 41, 0, 117, 0,
	151, 0, 0, 0, 0, 0, 0, 109, 0, 0, 0, 0, 0, 0, 0, 0, 38, 0, 0, 0, 0, 0, 0, 0,
	0, 76, 128, 0, 141, 0, 0, 0, 139, 0, 0, 54, 0, 81, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 34, 0, 0, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 52, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 14, 50, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 121, 0, 0, 0, 0, 43, 0, 51, 12, 0,
	0, 0, 0, 0, 0, 25, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
}
