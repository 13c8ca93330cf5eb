package store

import (
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/chandler-broker/chandler/core"
)

var (
	indexHint    = regexp.MustCompile(`\s+INDEXED BY \w+`)
	translations sync.Map // text for SQLite to text for PostgreSQL
)

// translated gives a statement as PostgreSQL takes it. The texts hold no question
// marks but parameters. Its planner takes no hints and needs none here.
func translated(query string) string {
	if text, ok := translations.Load(query); ok {
		return text.(string)
	}
	var b strings.Builder
	n := 0
	for _, part := range strings.SplitAfter(indexHint.ReplaceAllString(query, ""), "?") {
		text, parameter := strings.CutSuffix(part, "?")
		b.WriteString(text)
		if parameter {
			n++
			b.WriteString("$" + strconv.Itoa(n))
		}
	}
	translations.Store(query, b.String())
	return b.String()
}

// sendable makes texts of values that the database cannot hold as text: what is not
// UTF-8, or has zero bytes, gets replacement characters. Such only comes from
// plugins' words; ids are checked before.
func sendable(args []any) []any {
	for i, a := range args {
		s, ok := a.(string)
		if ok && (!utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0) {
			args[i] = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
		}
	}
	return args
}

// page implements conn. As listInstances does, it takes the first ids of each plan and
// backend from their index and merges them; LATERAL keeps the planner to that order.
func (c *pgConn) page(f core.InstanceFilter) (string, []any) {
	n := limit(f.Limit)
	where, args := conditions(f)
	if where == "" {
		return listInstances(f)
	}
	own, ownArgs := "", []any{}
	if f.ServiceID != "" {
		own, ownArgs = " AND i.service_id = ?", []any{f.ServiceID}
	}
	query := `WITH page AS MATERIALIZED (
	SELECT p.id FROM (SELECT DISTINCT plan_id, backend FROM uses WHERE ` + where + `) u CROSS JOIN LATERAL (
		SELECT i.id FROM instances i WHERE i.plan_id = u.plan_id AND i.backend = u.backend AND i.id > ?` + own + `
		ORDER BY i.id LIMIT ?) p ORDER BY p.id LIMIT ?)
	SELECT r.* FROM page CROSS JOIN LATERAL (
		SELECT ` + instanceColumns + ` FROM instances i WHERE i.id = page.id OFFSET 0) r ORDER BY r.id`
	return query, append(append(append(args, f.After), ownArgs...), n, n)
}
