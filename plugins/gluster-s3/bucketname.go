package main

import (
	"fmt"
	"net/netip"
	"strings"
)

// probePrefix begins the names of the buckets that Configure makes to learn what the
// gateway can do. No instance's bucket may be called so.
const probePrefix = "chandler-probe-"

// Beginnings and ends of names that S3 keeps for itself.
var (
	reservedPrefixes = []string{"xn--", "sthree-", "amzn-s3-demo-", probePrefix}
	reservedSuffixes = []string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"}
)

// checkBucketName says what is wrong with a name by the rules for general purpose
// buckets of the S3 user guide, in words for the user, or "" if nothing is. Gateways
// are looser, some dangerously so: VersityGW takes "a..b".
func checkBucketName(name string) string {
	if len(name) < 3 || len(name) > 63 {
		return fmt.Sprintf("A bucket's name has 3 to 63 characters; this one has %d.", len(name))
	}
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.' {
			return "A bucket's name holds only lower-case letters a to z, digits, hyphens and dots."
		}
	}
	if !letterOrDigit(name[0]) || !letterOrDigit(name[len(name)-1]) {
		return "A bucket's name begins and ends with a letter or a digit."
	}
	if strings.Contains(name, "..") {
		return "A bucket's name must not have two dots in a row."
	}
	if strings.Contains(name, ".-") || strings.Contains(name, "-.") {
		return "A bucket's name must not have a dot next to a hyphen."
	}
	if looksLikeIP(name) {
		return "A bucket's name must not look like an IP address."
	}
	for _, p := range reservedPrefixes {
		if strings.HasPrefix(name, p) {
			return fmt.Sprintf("Names that begin with %q are reserved.", p)
		}
	}
	for _, s := range reservedSuffixes {
		if strings.HasSuffix(name, s) {
			return fmt.Sprintf("Names that end with %q are reserved.", s)
		}
	}
	return ""
}

func letterOrDigit(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

// looksLikeIP is true for 192.168.5.4, and for 300.1.1.1 and 010.0.0.1 too, which no
// parser of addresses takes but some libraries do.
func looksLikeIP(name string) bool {
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	parts := strings.Split(name, ".")
	for _, p := range parts {
		if p == "" || strings.Trim(p, "0123456789") != "" {
			return false
		}
	}
	return len(parts) == 4
}
