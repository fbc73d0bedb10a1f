package acme

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	protocol "github.com/mholt/acmez/v3/acme"
)

// A Cause says whose affair it is that there is no certificate.
type Cause int

// The causes.
const (
	// Other is what is none of the following, such as the end of the context.
	Other Cause = iota
	// NameRefused: the CA does not sign for the name, or could not validate it. Other names may go on.
	NameRefused
	// RateLimited: the CA has been asked too often, by this account or for this name.
	RateLimited
	// CAUnwell: the CA cannot be reached, or answers as none should.
	CAUnwell
	// AccountRefused: the CA does not take the account, or what it is asked for by the settings. No name will fare better.
	AccountRefused
	// StoreFailed: the store cannot be used, or has an account that cannot.
	StoreFailed
)

// String is a word or two for logs.
func (c Cause) String() string {
	return [...]string{"other", "name refused", "rate limited", "CA unwell", "account refused", "store failed"}[c]
}

// An Error says why there is no certificate. Its text is one line, and has no secrets.
type Error struct {
	// Name is what a certificate was wanted for; empty: the error came while renewal information was asked for.
	Name string
	// Doing is what failed, such as "order a certificate".
	Doing string
	Cause Cause
	// Type is that of the CA's problem document (RFC 8555, section 6.7), such as "rateLimited", and Detail what it says.
	// Both are empty where the CA gave none.
	Type, Detail string
	// Status is the HTTP status of the CA's answer; 0: there was none, or it was 200 and told of a problem.
	Status int
	// Until is when the CA, or this issuer to spare it, allows another try; zero: nobody said.
	Until time.Time
	// Err is what went wrong where it was not the CA's problem; nil where it was.
	Err error

	held bool
}

func (e *Error) Error() string {
	var text strings.Builder
	text.WriteString(e.Doing)
	if e.Name != "" {
		text.WriteString(" for " + e.Name)
	}
	switch {
	case e.Type != "":
		text.WriteString(": the CA says " + e.Type)
		if e.Status != 0 {
			fmt.Fprintf(&text, " (HTTP %d)", e.Status)
		}
		if e.Detail != "" {
			text.WriteString(": " + e.Detail)
		}
	case e.Err != nil:
		text.WriteString(": " + oneLine(e.Err.Error()))
	case e.Status != 0:
		fmt.Fprintf(&text, ": the CA answers HTTP %d", e.Status)
	}
	if !e.Until.IsZero() {
		text.WriteString("; not before " + e.Until.UTC().Format(time.RFC3339))
	}
	return text.String()
}

func (e *Error) Unwrap() error { return e.Err }

// RetryAt is when another try is allowed; zero: nobody said.
func (e *Error) RetryAt() time.Time { return e.Until }

// NameRefused says whether the name is at fault, and not the CA, the account or the store.
func (e *Error) NameRefused() bool { return e.Cause == NameRefused }

// Held says whether the CA was not asked for this name: another one has met the error a moment ago, or has been told by the
// CA to wait, and every name would.
func (e *Error) Held() bool { return e.held }

// A stage is what is asked of the CA, in words. It decides what a problem means.
type stage string

const (
	reaching    stage = "read the CA's directory"
	registering stage = "make an account at the CA"
	ordering    stage = "order a certificate"
	validating  stage = "pass validation"
	finalizing  stage = "finalize the order"
	downloading stage = "download the certificate"
	informing   stage = "read renewal information"
)

// once says whether to ask twice is not the same as to ask once, so that a request whose answer was lost is not repeated.
func (s stage) once() bool { return s == ordering }

// explain makes an Error of what a library call and the exchanges with the CA in it ended with.
func explain(ctx context.Context, s stage, name string, err error, x *exchange, now time.Time) *Error {
	e := &Error{Name: name, Doing: string(s)}
	if cause := context.Cause(ctx); cause != nil {
		e.Err = cause
		return e
	}
	refusal, failure := x.outcome()
	problem := problemIn(err)
	if problem == nil && refusal != nil {
		problem = refusal.problem
	}
	if refusal != nil {
		e.Status, e.Until = refusal.status, refusal.until
	}
	switch {
	case problem != nil && problem.Type != "":
		if len(problem.Subproblems) > 0 && (problem.Type == protocol.ProblemTypeCompound || problem.Detail == "") {
			problem = &problem.Subproblems[0].Problem
		}
		e.Type = oneLine(strings.TrimPrefix(problem.Type, protocol.ProblemTypeNamespace))
		e.Detail = oneLine(problem.Detail)
		e.Cause = causeOf(s, problem.Type, e.Status)
	case refusal != nil:
		e.Cause = causeOf(s, "", e.Status)
	case failure != nil:
		e.Cause, e.Err = CAUnwell, plain(failure)
	default:
		e.Cause, e.Err = CAUnwell, err
	}
	if e.Cause == RateLimited && e.Until.IsZero() {
		e.Until = limitedUntil(e.Detail, now)
	}
	return e
}

// causeOf says what a type of problem means where it came up. RFC 8555, section 6.7, has the types.
func causeOf(s stage, kind string, status int) Cause {
	switch kind {
	case protocol.ProblemTypeRateLimited:
		return RateLimited
	case protocol.ProblemTypeServerInternal, protocol.ProblemTypeBadNonce:
		return CAUnwell
	case protocol.ProblemTypeRejectedIdentifier, protocol.ProblemTypeUnsupportedIdentifier, protocol.ProblemTypeDNS,
		protocol.ProblemTypeCAA, protocol.ProblemTypeConnection, protocol.ProblemTypeTLS,
		protocol.ProblemTypeIncorrectResponse:
		return NameRefused
	case protocol.ProblemTypeUnauthorized:
		if s == validating || s == finalizing {
			return NameRefused
		}
		return AccountRefused // a name is not yet in question: the account may have been deactivated
	case protocol.ProblemTypeAccountDoesNotExist, protocol.ProblemTypeExternalAccountRequired,
		protocol.ProblemTypeUserActionRequired, protocol.ProblemTypeInvalidContact,
		protocol.ProblemTypeUnsupportedContact, protocol.ProblemTypeBadPublicKey,
		protocol.ProblemTypeBadSignatureAlgorithm, protocol.ProblemTypeNamespace + "invalidProfile":
		return AccountRefused
	}
	switch {
	case status == http.StatusTooManyRequests:
		return RateLimited
	case status >= 500:
		return CAUnwell
	case s == registering:
		return AccountRefused
	case s == ordering && kind == protocol.ProblemTypeMalformed:
		return NameRefused // what differs between orders is the name
	}
	return Other
}

// problemIn finds a problem document in an error, which the library passes on as a value and as a pointer.
func problemIn(err error) *protocol.Problem {
	var value protocol.Problem
	if errors.As(err, &value) {
		return &value
	}
	var pointer *protocol.Problem
	if errors.As(err, &pointer) {
		return pointer
	}
	return nil
}

// plain is a network error without the method and the URL, which the stage says better.
func plain(err error) error {
	var at *url.Error
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// limited is how long is waited after a rate limit of which the CA does not say when it ends.
const limited = time.Hour

// limitedUntil reads the end of a rate limit from the detail of the problem, where Let's Encrypt puts it too.
func limitedUntil(detail string, now time.Time) time.Time {
	_, date, found := strings.Cut(detail, "retry after ")
	if found && len(date) >= len(time.DateTime) {
		date = strings.Replace(date[:len(time.DateTime)], "T", " ", 1)
		if until, err := time.Parse(time.DateTime, date); err == nil { // it is UTC
			return within(until, now)
		}
	}
	return now.Add(limited)
}

// maxText is the number of bytes of what a CA says that fit a line.
const maxText = 600

// oneLine makes text that somebody else wrote fit for a line of a log.
func oneLine(text string) string {
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "\uFFFD"), func(c rune) bool {
		return unicode.IsSpace(c) || unicode.IsControl(c)
	}), " ")
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return text
}
