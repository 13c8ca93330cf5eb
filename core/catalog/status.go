package catalog

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// Status is what an operator needs to know of the catalog.
type Status struct {
	// Revision is the digest of what the active catalog says; comments and layout do not count.
	Revision string    `json:"revision"`
	LoadedAt time.Time `json:"loaded_at"`
	Services int       `json:"services"`
	Plans    int       `json:"plans"`
	Retired  int       `json:"retired"`
	// Held names services that wait for their plugin to be described once.
	Held []string `json:"held,omitempty"`
	// LeftOut names offerings of plugins that cannot be used; warnings among the problems say why.
	LeftOut []string `json:"left_out,omitempty"`
	// Active is the numbered revision of the files that the active catalog is made of.
	Active Revision `json:"active"`
	// Differs is true while this broker's directory holds other files than the active
	// revision: invalid ones, or others that were superseded.
	Differs bool `json:"differs"`
	// Valid is false while something keeps the directory or the store's active revision out of use.
	Valid bool `json:"valid"`
	// CheckedAt is when the directory was last looked at; zero before the first time.
	CheckedAt time.Time      `json:"checked_at"`
	Problems  []core.Problem `json:"problems"` // of directory and revision, warnings too; never nil
}

// looked is what a look at the directory said.
type looked struct {
	at       time.Time
	digest   string // of its files; "" if they are invalid
	problems []core.Problem
}

// Status says which catalog is active and what is wrong with the files.
func (c *Catalog) Status() Status { return *c.status.Load() }

// publish brings the status up to date. The caller holds mu.
func (c *Catalog) publish() {
	problems := slices.Concat(c.look.problems, c.problems)
	s := Status{Active: c.shown, Differs: c.look.digest != c.shown.Digest, Valid: !Refused(problems),
		CheckedAt: c.look.at, Problems: append([]core.Problem{}, problems...)}
	active := c.active.Load()
	s.Revision, s.LoadedAt, s.Retired = active.snapshot.Revision, active.snapshot.LoadedAt, len(active.snapshot.Retired)
	if p := active.parsed; p != nil {
		s.Services, s.Plans, s.Held, s.LeftOut = len(p.Services), len(active.byDigest), p.Held, p.LeftOut
	}
	c.status.Store(&s)
}

func (c *Catalog) logProblems(message string, problems []core.Problem) {
	const most = 50
	for i, p := range problems {
		if i == most {
			c.cfg.Log.Warn("more problems are not logged", "count", len(problems)-most)
			return
		}
		level := slog.LevelError
		if p.Warning {
			level = slog.LevelWarn
		}
		c.cfg.Log.Log(context.Background(), level, message, "problem", Text(p))
	}
}

// stays says what a refused catalog leaves in use, if anything.
func (c *Catalog) stays() string {
	if c.active.Load().parsed == nil {
		return ""
	}
	return "; the active one stays"
}
