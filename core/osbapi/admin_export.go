package osbapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"net/http"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// ExportAdmin makes exports of the store.
type ExportAdmin interface {
	// Export writes the store to w, encrypted. id names the export.
	Export(ctx context.Context, by core.Caller, id string, w io.Writer) error
	// FinalExport pauses the dispatcher, waits at most so long until no plugin call runs, and
	// writes the store to w. digest, asked for after the last byte, is the SHA-256 of them all.
	FinalExport(ctx context.Context, by core.Caller, id string, wait time.Duration, w io.Writer, digest func() string) error
	// Moved marks the store as moved to where the final export goes.
	Moved(ctx context.Context, by core.Caller, export core.FinalExport) error
}

// The headers of an export. The digest is a trailer: without it the body is not complete.
const (
	headerExport = "X-Chandler-Export"
	headerDigest = "X-Chandler-Export-Digest"
)

// The bounds of the wait of a final export.
const (
	defaultExportWait = 5 * time.Minute
	maxExportWait     = 24 * time.Hour
)

// exportTable is the part of /admin/v1 about exports.
func (h *handler) exportTable() []adminRoute {
	if h.cfg.ExportAdmin == nil {
		return nil
	}
	return []adminRoute{
		{http.MethodPost, "/export", h.adminExport},
		{http.MethodPost, "/export/moved", h.adminMoved},
	}
}

// adminExport is POST /admin/v1/export?final=true&wait=5m: the archive as it is made.
func (h *handler) adminExport(c *call) (reply, error) {
	c.filters("final", "wait")
	final, wait := false, defaultExportWait
	switch s := c.query.values.Get("final"); s {
	case "", "false":
	case "true":
		final = true
	default:
		c.problem("?final", "is %q; expected true or false", s)
	}
	if s := c.query.values.Get("wait"); s != "" {
		var err error
		if wait, err = time.ParseDuration(s); err != nil || wait < 0 || wait > maxExportWait {
			c.problem("?wait", "is %q; expected a time such as 5m, at most %s", s, maxExportWait)
		}
	}
	if err := c.invalid(); err != nil {
		return reply{}, err
	}
	out := &archiveBody{e: c.exchange, control: http.NewResponseController(c.exchange), id: h.cfg.NewID(), sum: sha256.New()}
	_ = out.control.SetReadDeadline(time.Time{}) // the server's own would end the context of a long one
	_ = out.control.SetWriteDeadline(time.Time{})
	var err error
	if final {
		err = h.cfg.ExportAdmin.FinalExport(c.r.Context(), c.caller, out.id, wait, out, out.digest)
	} else {
		err = h.cfg.ExportAdmin.Export(c.r.Context(), c.caller, out.id, out)
	}
	if err != nil && !out.begun {
		return reply{}, err
	}
	if err != nil { // the body has no digest then
		c.exchange.err = core.AsError(err).WithID(c.exchange.requestID)
		return reply{sent: true}, nil
	}
	c.exchange.Header().Set(headerDigest, out.digest())
	return reply{sent: true}, nil
}

// archiveBody is the body of an export.
type archiveBody struct {
	e       *exchange
	control *http.ResponseController
	id      string
	sum     hash.Hash
	begun   bool
}

// Write implements io.Writer. A client that reads nothing for too long ends the export.
func (b *archiveBody) Write(p []byte) (int, error) {
	if !b.begun {
		b.begun = true
		header := b.e.Header()
		header.Set("Content-Type", "application/octet-stream")
		header.Set(headerExport, b.id)
		header.Set("Trailer", headerDigest)
		b.e.WriteHeader(http.StatusOK)
	}
	_ = b.control.SetWriteDeadline(time.Now().Add(lineTimeout))
	n, err := b.e.Write(p)
	b.sum.Write(p[:n])
	return n, err
}

func (b *archiveBody) digest() string { return hex.EncodeToString(b.sum.Sum(nil)) }

// adminMoved is POST /admin/v1/export/moved?id=…&digest=….
func (h *handler) adminMoved(c *call) (reply, error) {
	c.filters("id", "digest")
	export := core.FinalExport{ID: c.query.values.Get("id"), Digest: c.query.values.Get("digest")}
	if export.ID == "" || export.Digest == "" {
		c.problem("?id", "or ?digest is missing; expected both as the export gave them")
	}
	if err := c.invalid(); err != nil {
		return reply{}, err
	}
	if err := h.cfg.ExportAdmin.Moved(c.r.Context(), c.caller, export); err != nil {
		return reply{}, err
	}
	return ok(doc{"moved": true}), nil
}
