// Package template is the typed template language of catalog and template files:
// it compiles core.Node sources, checks them against what a plan and its plugin
// declare, and renders them over the data of one operation. Compiler implements
// core.Templates.
//
// The syntax is that of Go's text/template, one template per YAML scalar, with a
// hermetic function set (functions.go and its neighbours; docs/template-reference.md
// describes every function). Three things differ from text/template, all of them
// so that a mistake is an error and never a wrong credential: values keep their
// types, null is never printed, and every function checks its arguments.
//
// How it works: a scalar is parsed by text/template/parse and checked (check.go);
// then the parse tree is instrumented (scalar.go): each printing action ends in a
// call of our own that either prints the value or, in a scalar that is one action,
// captures it. Values are therefore never printed and parsed again, and text that
// came from a user is never parsed at all. A machine (machine.go) executes the
// trees of one document within a budget of work.
//
// The package must not know YAML, catalogs, plugins or stores: it sees core.Node,
// core.TemplateScope and core.TemplateData only.
package template
