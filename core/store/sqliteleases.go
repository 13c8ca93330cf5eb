package store

import (
	"context"

	"github.com/chandler-broker/chandler/core"
)

var _ core.Leases = (*SQLite)(nil)

// updateOwn and viewOwn are Update and View for what core.Tx does not show.
func (s *SQLite) updateOwn(ctx context.Context, fn func(*tx) error) error {
	return s.Update(ctx, func(t core.Tx) error { return fn(t.(*tx)) })
}

func (s *SQLite) viewOwn(ctx context.Context, fn func(*tx) error) error {
	return s.View(ctx, func(t core.Tx) error { return fn(t.(*tx)) })
}

// Hint implements core.Leases. All replicas over a SQLite store share this value,
// which cannot tell them apart: the sender hears its own hints, too.
func (s *SQLite) Hint(hints ...core.Hint) { s.hearers.tell(hints...) }

// Listen implements core.Leases.
func (s *SQLite) Listen(ctx context.Context, heard func(core.Hint)) error {
	l := s.hearers.open()
	defer s.hearers.close(l)
	return l.hear(ctx, heard)
}
