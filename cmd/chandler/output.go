package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"
)

// outputFormat is the value of -o. It is checked before a command does anything.
type outputFormat string

var outputFormats = []string{"table", "json", "yaml"}

// String implements pflag.Value.
func (f *outputFormat) String() string { return string(*f) }

// Type implements pflag.Value.
func (f *outputFormat) Type() string { return "format" }

// Set implements pflag.Value.
func (f *outputFormat) Set(text string) error {
	if !slices.Contains(outputFormats, text) {
		return fmt.Errorf("want %s", strings.Join(outputFormats, ", "))
	}
	*f = outputFormat(text)
	return nil
}

// outputFlag adds -o.
func outputFlag(c *cobra.Command) *outputFormat {
	format := outputFormat("table")
	c.Flags().VarP(&format, "output", "o", "table, json or yaml")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(outputFormats, cobra.ShellCompDirectiveNoFileComp))
	return &format
}

// write prints value as JSON or YAML, or calls table with a writer whose cells are separated by tabs.
func write(out io.Writer, format outputFormat, value any, table func(w io.Writer)) error {
	switch format {
	case "json":
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(value)
	case "yaml":
		return writeYAML(out, value)
	default:
		w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
		table(w)
		return w.Flush()
	}
}

// writeYAML goes through JSON, so that both formats have the same keys.
func writeYAML(out io.Writer, value any) error {
	var raw bytes.Buffer
	enc := json.NewEncoder(&raw)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return fmt.Errorf("encode the output: %w", err)
	}
	var node yaml.Node
	if err := yaml.Unmarshal(raw.Bytes(), &node); err != nil {
		return fmt.Errorf("encode the output: %w", err)
	}
	blockStyle(&node)
	to := yaml.NewEncoder(out)
	to.SetIndent(2)
	if err := to.Encode(&node); err != nil {
		return fmt.Errorf("encode the output: %w", err)
	}
	return to.Close()
}

// blockStyle undoes the flow style that parsing JSON leaves on nodes. Texts get the
// quotes that they need, also for readers of YAML 1.1, to whom a plain yes is true.
func blockStyle(n *yaml.Node) {
	n.Style &^= yaml.FlowStyle
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		var fresh yaml.Node
		if fresh.Encode(n.Value) == nil {
			n.Style = fresh.Style
		}
	}
	for _, c := range n.Content {
		blockStyle(c)
	}
}

// row prints one table row; empty cells become a dash, line breaks spaces, and what
// a terminal would obey instead of showing it is left out.
func row(w io.Writer, cells ...any) {
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = strings.Map(printable, strings.Join(strings.Fields(fmt.Sprint(c)), " "))
		if texts[i] == "" {
			texts[i] = "-"
		}
	}
	fmt.Fprintln(w, strings.Join(texts, "\t"))
}

// sortedKeys gives an object's keys in order.
func sortedKeys[V any](object map[string]V) []string { return slices.Sorted(maps.Keys(object)) }

func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return -1
}

// printObject prints nested objects as dotted keys, sorted; lists and texts that
// do not fit on a line as JSON.
func printObject(w io.Writer, prefix string, object map[string]any) {
	for _, k := range sortedKeys(object) {
		switch v := object[k].(type) {
		case map[string]any:
			printObject(w, prefix+k+".", v)
		case string:
			if strings.Map(printable, v) != v {
				v = compact(v)
			}
			fmt.Fprintf(w, "%s\t%s\n", prefix+k, v)
		default:
			fmt.Fprintf(w, "%s\t%s\n", prefix+k, compact(v))
		}
	}
}

// compact gives a value that came out of JSON on one line.
func compact(v any) string {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // came out of JSON
	return strings.TrimSuffix(out.String(), "\n")
}

// counted is "1 plan" or "2 plans".
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
