package catalog

import "github.com/chandler-broker/chandler/core"

// Approve holds the active catalog against what a new process of a backend says
// of itself and brings; an error tells what would not fit any more: a file of the directory, or a
// new version of an offering that is listed. Until the first load everything fits.
func (c *Catalog) Approve(backend string, d core.Description) error {
	parsed := c.active.Load().parsed
	if parsed == nil {
		return nil
	}
	listed := func(name string) bool {
		for _, l := range parsed.loaded {
			if l.doc.node.File == name {
				return l.doc.backend == backend && !l.hold
			}
		}
		return false
	}
	src := parsed.sources.only(listed)
	offerings := map[string][]byte{}
	for name, data := range d.Offerings {
		offerings[backend+"/"+name] = data
	}
	src.SetOfferings(offerings)
	if len(src.services) == 0 {
		return nil
	}
	options := c.options(true)
	options.Describe = func(string) (core.Description, bool) { return d, true }
	options.strict = listed
	if _, problems := Parse(src, options); Refused(problems) {
		return &InvalidError{problems}
	}
	return nil
}
