package osbapi

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"time"
)

// ServerConfig is what Server makes an http.Server of.
type ServerConfig struct {
	Addr    string
	Handler http.Handler // of New
	TLS     *tls.Config  // nil serves without TLS; with client certificates see User.Certificates
	Log     *slog.Logger // of the server itself; default: discard

	// SyncBudget is core's Config.SyncBudget: an answer may take that long, and the
	// write timeout is longer. Default 55 s.
	SyncBudget time.Duration
	// MaxHeader is Config.MaxHeader; default DefaultMaxHeader.
	MaxHeader int
	// MaxConnections is how many connections are kept; one more makes the one go that has
	// been without a request for the longest time. Default DefaultMaxConnections.
	MaxConnections int
}

// The server's own limits, against clients that are slow on purpose.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	writeReserve      = 30 * time.Second // for reading the request and sending the answer
)

// Server gives an http.Server with bounds for everything that a client can drag
// out. It is not started.
func Server(cfg ServerConfig) *http.Server {
	if cfg.SyncBudget <= 0 {
		cfg.SyncBudget = 55 * time.Second
	}
	if cfg.MaxHeader <= 0 {
		cfg.MaxHeader = DefaultMaxHeader
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxConnections <= 0 {
		cfg.MaxConnections = DefaultMaxConnections
	}
	return &http.Server{
		Addr:              cfg.Addr,
		Handler:           cfg.Handler,
		TLSConfig:         cfg.TLS,
		ErrorLog:          slog.NewLogLogger(cfg.Log.Handler(), slog.LevelWarn),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      cfg.SyncBudget + writeReserve,
		IdleTimeout:       idleTimeout,
		ConnState:         newConnections(cfg.MaxConnections).changed,
		// The handler refuses what is larger than MaxHeader with a JSON body. net/http
		// can only do so in plain text, so its limit lies well above.
		MaxHeaderBytes: 4 * cfg.MaxHeader,
		// OPTIONS * too gets the handler's JSON answer.
		DisableGeneralOptionsHandler: true,
	}
}
