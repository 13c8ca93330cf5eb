package template

import (
	"fmt"
	"sort"
	"strings"

	"github.com/chandler-broker/chandler/core"
)

// suggest gives the hint for an unknown name: the nearest of the known ones, or all
// of them if they are few.
func suggest(name string, known []string) string {
	sort.Strings(known)
	best, distance := "", 1+max(2, len(name)/3)
	for _, k := range known {
		if strings.EqualFold(k, name) {
			best = k
			break
		}
		if abs(len(name)-len(k)) >= distance {
			continue // too far, and perhaps too long to compare
		}
		if d := core.EditDistance(name, k); d < distance {
			best, distance = k, d
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf("did you mean %q?", best)
	case len(known) == 0:
		return "none are declared"
	case len(known) <= 12:
		return "known are " + strings.Join(known, ", ")
	}
	return ""
}

func abs(n int) int { return max(n, -n) }

// refused are names that people bring from sprig, Helm and text/template, and what to
// write instead.
var refused = map[string]string{
	"env": "templates cannot read the environment", "expandenv": "templates cannot read the environment",
	"getHostByName": "templates cannot use the network",
	"now":           clock, "date": clock, "ago": clock, "htmlDate": clock, "dateInZone": clock, "unixEpoch": clock, "toDate": clock, "dateModify": clock,
	"randAlphaNum": chance, "randAlpha": chance, "randAscii": chance, "randNumeric": chance, "randBytes": chance, "randInt": chance,
	"uuidv4": chance, "shuffle": chance, "genPrivateKey": chance, "genCA": chance, "genSelfSignedCert": chance, "genSignedCert": chance,
	"bcrypt": chance, "htpasswd": chance, "encryptAES": chance, "derivePassword": chance,
	"get": "use index, or dig with a default", "set": inPlace, "unset": inPlace,
	"deepCopy": "values never change, so no copy is needed", "tuple": "use list", "push": "use append", "biggest": "use max",
	"seq": "use until or untilStep", "println": "use print", "html": "nothing here is HTML", "js": "nothing here is JavaScript",
	"call": "functions are no values here", "typeOf": "use jsonType", "kindOf": "use jsonType", "typeIs": "use eq and jsonType",
	"kindIs": "use eq and jsonType", "typeIsLike": "use eq and jsonType", "deepEqual": "use eq", "toRawJson": "use toJSON",
	"semver": "use semverCompare", "trimall": "use trimAll", "include": "templates cannot call each other", "tpl": "values are never templates",
	"lookup": "templates see their data only", "toYaml": "use toJSON, which is YAML too", "fromYaml": "use fromJSON",
	"wrap": "it is not part of the language", "wrapWith": "it is not part of the language",
}

const (
	clock   = "templates cannot read the clock: they must give the same result every time"
	chance  = "its result differs every time: use instanceSecret or bindingSecret, which stay the same"
	inPlace = "values never change: use merge, mergeOverwrite or omit, which give a new mapping"
)

// functionHint says what to write instead of an unknown function.
func functionHint(name string) string {
	if hint, ok := refused[name]; ok {
		return hint
	}
	if rest, ok := strings.CutPrefix(name, "must"); ok && rest != "" {
		plain := strings.ToLower(rest[:1]) + rest[1:]
		if functions[plain] != nil {
			return fmt.Sprintf("use %s: it fails on mistakes, too", plain)
		}
	}
	return suggest(name, FunctionNames())
}
