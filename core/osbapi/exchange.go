package osbapi

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// The headers of the specification.
const (
	headerVersion         = "X-Broker-API-Version"
	headerTraceparent     = "Traceparent"
	headerIdentity        = "X-Broker-API-Originating-Identity"
	headerRequestIdentity = "X-Broker-API-Request-Identity"
)

// The same as net/http keeps them. To look one up by any other spelling costs an allocation.
var (
	keyVersion         = http.CanonicalHeaderKey(headerVersion)
	keyIdentity        = http.CanonicalHeaderKey(headerIdentity)
	keyRequestIdentity = http.CanonicalHeaderKey(headerRequestIdentity)
)

// exchange is one request and its answer on the way through the handler: the
// ResponseWriter that everything writes to, and what the log line says at the end.
type exchange struct {
	http.ResponseWriter
	started   time.Time
	requestID string

	route                 string // the pattern; "" until a route matched
	user                  string
	instanceID, bindingID string
	operation             string
	err                   *core.Error
	catalog               bool // the catalog is asked for

	status      int
	bytes       int64
	wroteHeader bool
}

// exchangeOf is the exchange of what ServeHTTP gives the router as ResponseWriter.
func exchangeOf(w http.ResponseWriter) *exchange { return w.(*exchange) }

// newExchange notes the arrival and echoes the request's identity before anything
// can go wrong, so that errors carry it too.
func (h *handler) newExchange(w http.ResponseWriter, r *http.Request) *exchange {
	e := &exchange{ResponseWriter: w, started: h.cfg.Now()}
	if id := r.Header.Get(keyRequestIdentity); id != "" {
		w.Header()[keyRequestIdentity] = []string{id}
		e.requestID = loggable(id)
	}
	if e.requestID == "" {
		e.requestID = h.cfg.NewID()
	}
	// Values that are always the same are shared: net/http only reads them.
	w.Header()["X-Content-Type-Options"] = noSniff
	w.Header()["Cache-Control"] = noStore
	return e
}

var (
	noSniff  = []string{"nosniff"}
	noStore  = []string{"no-store"}
	jsonType = []string{"application/json"}
)

// loggable is a request id from outside as logs and the journal keep it: at most
// 128 printable characters, so that it can neither flood nor forge a line.
func loggable(id string) string {
	const limit = 128
	id = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return -1
		}
		return r
	}, id)
	if runes := []rune(id); len(runes) > limit {
		return string(runes[:limit])
	}
	return id
}

func (e *exchange) WriteHeader(status int) {
	if !e.wroteHeader {
		e.wroteHeader, e.status = true, status
	}
	e.ResponseWriter.WriteHeader(status)
}

func (e *exchange) Write(b []byte) (int, error) {
	if !e.wroteHeader {
		e.WriteHeader(http.StatusOK)
	}
	n, err := e.ResponseWriter.Write(b)
	e.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (e *exchange) Unwrap() http.ResponseWriter { return e.ResponseWriter }

// statusCode is the status that was sent; 200 where a handler wrote nothing, as net/http does.
func (e *exchange) statusCode() int {
	if e.status == 0 {
		return http.StatusOK
	}
	return e.status
}

// fail answers an error that belongs to HTTP and not to the domain. Like every error
// it carries the id under which the log has the request.
func (e *exchange) fail(status int, word, format string, args ...any) {
	e.send(reply{status: status, body: doc{"error": word, "description": fmt.Sprintf(format, args...) + " [" + e.requestID + "]"}})
}
