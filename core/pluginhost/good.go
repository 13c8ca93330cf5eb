package pluginhost

import (
	"io"
	"os"
	"path/filepath"
)

// saveGood notes the digest of the last binary that served a backend.
func (h *Host) saveGood(backend, digest string) error {
	path := filepath.Join(h.cfg.StateDir, "good", backend)
	if old, err := os.ReadFile(path); err == nil && string(old) == digest {
		return nil
	}
	if err := os.WriteFile(path+".new", []byte(digest), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// goodDigest is what saveGood noted; "" if nothing.
func (h *Host) goodDigest(backend string) string {
	f, err := os.Open(filepath.Join(h.cfg.StateDir, "good", backend))
	if err != nil {
		return ""
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, 100))
	if err != nil || !digestRule.Match(raw) {
		return ""
	}
	return string(raw)
}

// lastGood gives the binary that served the backend last, before this broker was started; nil if
// there is none or its copy is gone.
func (h *Host) lastGood(backend string, want target) *target {
	digest := h.goodDigest(backend)
	if digest == "" {
		return nil
	}
	bin := h.bins.kept(want.cfg.Plugin, digest)
	if bin == nil {
		return nil
	}
	return &target{cfg: want.cfg, implicit: want.implicit, bin: bin}
}
