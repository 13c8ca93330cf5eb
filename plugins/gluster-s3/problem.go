package main

import (
	"github.com/chandler-broker/chandler/core/plugin"
)

// problem turns a gateway's answer into the plugin's error where the verb knows
// nothing better. doing says for the operator what was tried, e.g. "create the bucket".
func problem(err error, doing string) *plugin.Error {
	var e *plugin.Error
	switch reasonOf(err) {
	case reasonCancelled:
		e = plugin.Unavailable(0, "The work was interrupted.")
	case reasonUnavailable, reasonBusy:
		e = plugin.Unavailable(0, "The S3 gateway cannot do this now.")
	case reasonBadKeys:
		e = plugin.Unavailable(0, "The S3 gateway refuses the broker's own keys; its operator must correct the backend's configuration.")
	case reasonBadRegion, reasonElsewhere:
		e = plugin.Unavailable(0, "The S3 gateway serves another region than the broker is configured for; its operator must correct the backend's configuration.")
	case reasonUntrusted:
		e = plugin.Unavailable(0, "The S3 gateway's certificate is not trusted; the operator must correct the backend's configuration.")
	case reasonDenied:
		e = plugin.Failed("The S3 gateway denies this to the broker's account, or an object is locked.")
	case reasonNotImplemented:
		e = plugin.Failed("The S3 gateway does not offer what this needs.")
	case reasonTooLarge:
		e = plugin.Failed("A limit of the S3 gateway is reached.")
	default:
		e = plugin.Failed("The S3 gateway refused the request.")
	}
	return e.WithDetail("could not %s", doing).WithCause(err)
}

// configProblem is problem for Configure: what the operator must correct is invalid.
func configProblem(err error, doing, endpoint string) *plugin.Error {
	var e *plugin.Error
	switch reasonOf(err) {
	case reasonBadKeys:
		e = plugin.InvalidInput("/accessKeyID", "The gateway refuses accessKeyID and secretAccessKey.")
	case reasonBadRegion:
		e = plugin.InvalidInput("/region", "The gateway serves another region.")
	case reasonElsewhere:
		e = plugin.InvalidInput(endpoint, "The gateway sends us elsewhere: wrong endpoint or region.")
	case reasonUntrusted:
		e = plugin.InvalidInput("/caCertificate", "The gateway's certificate is not trusted, or it does not speak TLS.")
	case reasonDenied:
		e = plugin.InvalidInput("/accessKeyID", "The account lacks the right to %s.", doing)
	case reasonAbsent, reasonNotImplemented, reasonMalformed, reasonOther:
		e = plugin.InvalidInput(endpoint, "What answers there is not the API that is needed.")
	default:
		return problem(err, doing)
	}
	return e.WithDetail("could not %s", doing).WithCause(err)
}
