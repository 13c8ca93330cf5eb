package template_test

import (
	"testing"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/template"
)

// BenchmarkRender renders the credentials of a bucket, as every bind does once.
func BenchmarkRender(b *testing.B) {
	tmpl := compile(b, sourceFile(b, shapesDirectory+"aws.yaml"), shapeScope(b, "aws.yaml"))
	d := shapeData("aws.yaml", false)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tmpl.Render(d); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRenderParallel shows that renderings do not wait for each other.
func BenchmarkRenderParallel(b *testing.B) {
	tmpl := compile(b, sourceFile(b, shapesDirectory+"aws.yaml"), shapeScope(b, "aws.yaml"))
	d := shapeData("aws.yaml", false)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := tmpl.Render(d); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkCompile compiles the same source, as loading a catalog does for each plan.
func BenchmarkCompile(b *testing.B) {
	src := sourceFile(b, shapesDirectory+"aws.yaml")
	scope := shapeScope(b, "aws.yaml")
	var tmpl core.Template
	b.ReportAllocs()
	for b.Loop() {
		tmpl, _ = template.New().Compile(src, scope)
	}
	if tmpl == nil {
		b.Fatal("not compiled")
	}
}
