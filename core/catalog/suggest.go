package catalog

import (
	"fmt"
	"strings"

	"github.com/chandler-broker/chandler/core"
)

// didYouMean gives `did you mean "x"?` for the candidate nearest to word, or "" if
// none is near enough to be what was meant.
func didYouMean(word string, candidates []string) string {
	if best := nearest(word, candidates); best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return ""
}

// nearest allows one slip in short words and a third of the letters in long
// ones; case, dashes and underscores do not count, since that is what people mix up.
func nearest(word string, candidates []string) string {
	if len(word) > 100 {
		return ""
	}
	plain := squash(word)
	best, bestDistance := "", 1+max(1, len(plain)/3)
	for _, c := range candidates {
		if len(c) > 100 || c == word {
			continue
		}
		d := core.EditDistance(plain, squash(c))
		if d < bestDistance || d == bestDistance && best != "" && c < best {
			best, bestDistance = c, d
		}
	}
	return best
}

func squash(s string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(s))
}
