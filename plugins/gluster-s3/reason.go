package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
)

// reason is what a gateway's answer means to the broker. The zero value is success.
type reason int

const (
	reasonNone           reason = iota
	reasonCancelled             // our own context ended
	reasonUnavailable           // not reachable, overloaded or broken now; says nothing about what exists
	reasonUntrusted             // TLS: the certificate is not trusted, or not TLS at all
	reasonAbsent                // bucket, user or other thing does not exist
	reasonTaken                 // the bucket exists already, whoever's it is
	reasonExists                // the user exists already
	reasonNotEmpty              // the bucket cannot be deleted, there is something in it
	reasonInvalidName           // the gateway refuses the bucket's name
	reasonDenied                // the account lacks the right, or an object is locked
	reasonBadKeys               // the gateway does not know the keys
	reasonBadRegion             // requests are signed for another region than the gateway's
	reasonElsewhere             // 301: the bucket is in another region or at another endpoint
	reasonNotImplemented        // the gateway has no such feature
	reasonMalformed             // the gateway refuses the document, e.g. a policy
	reasonTooLarge              // a limit is reached: size of a policy, number of keys
	reasonBusy                  // something contradicts in the same moment; again
	reasonOther                 // anything else
)

// failure is a request that failed: the facts, whoever sent it. reasonOf judges them.
type failure struct {
	// status is the HTTP status of the answer; 0 if there was none.
	status int
	// code is the gateway's error code; "" if the answer carries none that can be
	// read. An answer to HEAD has no body: its code says no more than its status.
	code string
	// cancelled: our own context ended.
	cancelled bool
	// unanswered: the request could not be sent, or its answer did not arrive whole.
	unanswered bool
	// text is all of it for the operator, the gateway's message included.
	text string
}

func (f *failure) Error() string { return f.text }

// codes are error codes of S3, VersityGW's admin API and IAM whatever the status is.
var codes = map[string]reason{
	"RequestTimeout":                     reasonUnavailable,
	"SlowDown":                           reasonUnavailable,
	"Throttling":                         reasonUnavailable,
	"ThrottlingException":                reasonUnavailable,
	"RequestLimitExceeded":               reasonUnavailable,
	"ServiceUnavailable":                 reasonUnavailable,
	"InternalError":                      reasonUnavailable,
	"ServiceFailure":                     reasonUnavailable,
	"NoSuchBucket":                       reasonAbsent,
	"NoSuchKey":                          reasonAbsent,
	"NoSuchUpload":                       reasonAbsent,
	"NoSuchVersion":                      reasonAbsent,
	"NoSuchTagSet":                       reasonAbsent,
	"NoSuchBucketPolicy":                 reasonAbsent,
	"NoSuchEntity":                       reasonAbsent,
	"XAdminUserNotFound":                 reasonAbsent,
	"BucketAlreadyExists":                reasonTaken,
	"BucketAlreadyOwnedByYou":            reasonTaken,
	"EntityAlreadyExists":                reasonExists,
	"XAdminUserExists":                   reasonExists,
	"BucketNotEmpty":                     reasonNotEmpty,
	"VersionedBucketNotEmpty":            reasonNotEmpty,
	"InvalidBucketName":                  reasonInvalidName,
	"InvalidLocationConstraint":          reasonBadRegion,
	"IllegalLocationConstraintException": reasonBadRegion,
	"AuthorizationHeaderMalformed":       reasonBadRegion,
	"AccessDenied":                       reasonDenied,
	"AccessDeniedException":              reasonDenied,
	"AllAccessDisabled":                  reasonDenied,
	"ObjectLocked":                       reasonDenied,
	"InvalidRetentionPeriod":             reasonDenied,
	"XAdminAccessDenied":                 reasonDenied,
	"InvalidAccessKeyId":                 reasonBadKeys,
	"SignatureDoesNotMatch":              reasonBadKeys,
	"InvalidClientTokenId":               reasonBadKeys,
	"UnrecognizedClientException":        reasonBadKeys,
	"BucketRegionError":                  reasonElsewhere,
	"PermanentRedirect":                  reasonElsewhere,
	"NotImplemented":                     reasonNotImplemented,
	"VersioningNotConfigured":            reasonNotImplemented,
	"InvalidAction":                      reasonNotImplemented,
	"XAdminMethodNotSupported":           reasonNotImplemented,
	"MalformedXML":                       reasonMalformed,
	"MalformedPolicy":                    reasonMalformed,
	"MalformedPolicyDocument":            reasonMalformed,
	"InvalidTag":                         reasonMalformed,
	"InvalidBucketState":                 reasonMalformed,
	"XAdminInvalidArgument":              reasonMalformed,
	"PolicyTooLarge":                     reasonTooLarge,
	"LimitExceeded":                      reasonTooLarge,
	"TooManyBuckets":                     reasonTooLarge,
	"QuotaExceeded":                      reasonTooLarge,
	"OperationAborted":                   reasonBusy,
	"ConcurrentModification":             reasonBusy,
	"DeleteConflict":                     reasonBusy,
	"ConflictException":                  reasonBusy,
}

// reasonOf says what a failed call means.
func reasonOf(err error) reason {
	if err == nil {
		return reasonNone
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return reasonCancelled
	}
	if errors.Is(err, errTruncated) {
		return reasonUnavailable
	}
	var f *failure
	if !errors.As(err, &f) {
		return reasonOther
	}
	switch {
	case f.status >= 500 && f.status != http.StatusNotImplemented:
		return reasonUnavailable // whatever the code says
	case f.status == 0 && untrusted(f.text):
		return reasonUntrusted
	case f.cancelled:
		return reasonCancelled
	case f.unanswered:
		return reasonUnavailable
	}
	if r, ok := codes[f.code]; ok {
		return r
	}
	if f.status < 300 {
		// No answer, or one that broke off.
		return reasonUnavailable
	}
	return reasonOfStatus(f.status)
}

// reasonOfStatus is for answers whose code says nothing: HEAD, and bodies that are
// not XML.
func reasonOfStatus(status int) reason {
	switch status {
	case http.StatusNotFound:
		return reasonAbsent
	case http.StatusForbidden, http.StatusUnauthorized:
		return reasonDenied
	case http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusFound:
		return reasonElsewhere
	case http.StatusNotImplemented, http.StatusMethodNotAllowed:
		return reasonNotImplemented
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return reasonUnavailable
	case http.StatusConflict:
		return reasonBusy
	}
	return reasonOther
}

// untrusted tells whether TLS failed because of a certificate or the scheme: that
// does not get better by waiting, unlike other network errors.
func untrusted(text string) bool {
	for _, sign := range []string{"x509: ", "tls: failed to verify", "server gave HTTP response to HTTPS client"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}
