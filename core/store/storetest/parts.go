package storetest

import (
	"errors"
	"testing"

	"github.com/chandler-broker/chandler/core"
)

func (c *suite) stepsAndFences(t *testing.T) {
	s := c.open(t)
	update(t, s, func(tx core.Tx) error {
		return all(tx, insert(operation("a", "i", "", pending)), insert(operation("b", "j", "", pending)))
	})
	var seqs []int64
	for _, op := range []string{"a", "b", "a", "a"} {
		step := &core.Step{Operation: op, Kind: core.StepProgress, Text: "for " + op}
		update(t, s, func(tx core.Tx) error { return tx.AddStep(step) })
		if op == "a" {
			seqs = append(seqs, step.Seq)
		}
	}
	if !(0 < seqs[0] && seqs[0] < seqs[1] && seqs[1] < seqs[2]) {
		t.Errorf("Seq does not rise: %v", seqs)
	}
	list := read(t, s, func(tx core.Tx) ([]*core.Step, error) { return tx.Steps("a") })
	if len(list) != 3 {
		t.Fatalf("%d steps of a, want 3", len(list))
	}
	for i, step := range list {
		same(t, "step", &core.Step{Operation: "a", Seq: seqs[i], Kind: core.StepProgress, Text: "for a"}, step)
	}
	wantErr(t, "a step of nothing", s.Update(t.Context(), func(tx core.Tx) error {
		return tx.AddStep(&core.Step{Operation: "no"})
	}), core.ErrNotFound)

	fence := func(instance string) (n int64) {
		update(t, s, func(tx core.Tx) (err error) { n, err = tx.NextFence(instance); return err })
		return n
	}
	same(t, "fences", []int64{1, 2, 1, 3}, []int64{fence("i"), fence("i"), fence("j"), fence("i")})
}

func (c *suite) secrets(t *testing.T) {
	s := c.open(t)
	made := 0
	secret := func(instance, binding, name, value string) (got string) {
		t.Helper()
		update(t, s, func(tx core.Tx) (err error) {
			got, err = tx.Secret(instance, binding, name, func() (string, error) { made++; return value, nil })
			return err
		})
		return got
	}
	same(t, "made", "one", secret("i", "", "n", "one"))
	same(t, "made once", "one", secret("i", "", "n", "two"))
	same(t, "by name", "two", secret("i", "", "m", "two"))
	same(t, "by binding", "three", secret("i", "b", "n", "three"))
	same(t, "by instance", "", secret("j", "", "n", "")) // empty is a value
	same(t, "empty stays", "", secret("j", "", "n", "four"))
	same(t, "calls of value", 4, made)

	failure := errors.New("no randomness")
	err := s.Update(t.Context(), func(tx core.Tx) error {
		_, err := tx.Secret("i", "", "new", func() (string, error) { return "x", failure })
		return err
	})
	wantErr(t, "value fails", err, failure)
	got := read(t, s, func(tx core.Tx) (string, error) {
		return tx.Secret("i", "b", "n", func() (string, error) { t.Error("made in a View"); return "", nil })
	})
	same(t, "a View reads what there is", "three", got)
}

func (c *suite) reservations(t *testing.T) {
	s := c.open(t)
	reserve := func(backend, field, value, instance string) error {
		return s.Update(t.Context(), func(tx core.Tx) error { return tx.Reserve(backend, field, value, instance) })
	}
	for _, tc := range []struct {
		why                             string
		backend, field, value, instance string
		want                            error
	}{
		{"free", "b", "f", "v", "i", nil},
		{"its own again", "b", "f", "v", "i", nil},
		{"another's", "b", "f", "v", "j", core.ErrBusy},
		{"a second value", "b", "f", "w", "i", nil},
		{"another field", "b", "g", "v", "j", nil},
		{"another backend", "c", "f", "v", "j", nil},
		{"values differ by case", "b", "f", "V", "j", nil},
	} {
		if err := reserve(tc.backend, tc.field, tc.value, tc.instance); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.why, err, tc.want)
		}
	}
	for _, tc := range []struct{ why, backend, field, value, want string }{
		{"held", "b", "f", "v", "i"},
		{"another field's holder", "b", "g", "v", "j"},
		{"another backend's holder", "c", "f", "v", "j"},
		{"another spelling's holder", "b", "f", "V", "j"},
		{"a value that nobody holds", "b", "f", "u", ""},
		{"a field that nobody holds", "c", "g", "v", ""},
	} {
		holder := func(tx core.Tx) (string, error) { return tx.Reserved(tc.backend, tc.field, tc.value) }
		if tc.want == "" {
			wantErr(t, tc.why, readErr(s, holder), core.ErrNotFound)
		} else {
			same(t, tc.why, tc.want, read(t, s, holder))
		}
	}
	update(t, s, func(tx core.Tx) error { return tx.Release("b", "f", "i", "w", "never held") })
	wantErr(t, "a released value", readErr(s, func(tx core.Tx) (string, error) { return tx.Reserved("b", "f", "v") }), core.ErrNotFound)
	wantErr(t, "kept", reserve("b", "f", "w", "j"), core.ErrBusy)
	wantErr(t, "released", reserve("b", "f", "v", "j"), nil)
	wantErr(t, "of another field", reserve("b", "g", "v", "i"), core.ErrBusy)
	update(t, s, func(tx core.Tx) error { return tx.Release("b", "f", "i") })
	wantErr(t, "all released", reserve("b", "f", "w", "j"), nil)
	wantErr(t, "another's is not released", reserve("b", "f", "v", "i"), core.ErrBusy)
	update(t, s, func(tx core.Tx) error {
		wantErr(t, "in a transaction that goes on", tx.Reserve("b", "f", "v", "i"), core.ErrBusy)
		return tx.Put("still", []byte("usable"))
	})
	same(t, "a write after it", "usable", get(t, s, "still"))
}

func (c *suite) definitions(t *testing.T) {
	s := c.open(t)
	define := func(digest, blob string) func(core.Tx) error {
		return func(tx core.Tx) error { return tx.PutDefinition(core.Definition{Digest: digest, Blob: []byte(blob)}) }
	}
	update(t, s, func(tx core.Tx) error {
		return all(tx, define("d1", "one"), define("d2", "two"), define("d1", "changed"), define("d3", "three"))
	})
	got := read(t, s, func(tx core.Tx) (core.Definition, error) { return tx.Definition("d1") })
	same(t, "the first stays", core.Definition{Digest: "d1", Blob: []byte("one")}, got)
	wantErr(t, "Definition", readErr(s, func(tx core.Tx) (core.Definition, error) { return tx.Definition("no") }), core.ErrNotFound)

	instance := func(id, plan, digest string) func(core.Tx) error {
		return putInstance(&core.Instance{ID: id, ServiceID: "s", PlanID: plan, Definition: digest})
	}
	wants := func(id, instance, plan, digest string, state core.OperationState) func(core.Tx) error {
		op := operation(id, instance, "", state)
		op.Wanted, op.Definition = core.Wanted{ServiceID: "s", PlanID: plan}, digest
		return insert(op)
	}
	uses := func() []core.PlanUse {
		return read(t, s, func(tx core.Tx) ([]core.PlanUse, error) { return tx.PlansInUse() })
	}
	same(t, "no use", 0, len(uses()))
	update(t, s, func(tx core.Tx) error {
		return all(tx, instance("1", "p", "d2"), instance("2", "p", "d1"), instance("3", "q", "d1"), instance("4", "q", "d1"),
			wants("a", "1", "r", "d2", pending), wants("b", "2", "q", "d3", cancelling), wants("c", "3", "old", "d1", succeeded))
	})
	same(t, "plans in use", []core.PlanUse{
		{ServiceID: "s", PlanID: "p", Definition: core.Definition{Digest: "d2", Blob: []byte("two")}, Instances: 2},
		{ServiceID: "s", PlanID: "q", Definition: core.Definition{Digest: "d3", Blob: []byte("three")}, Instances: 2},
		{ServiceID: "s", PlanID: "r", Definition: core.Definition{Digest: "d2", Blob: []byte("two")}, Instances: 0},
	}, uses())
	update(t, s, func(tx core.Tx) error {
		return all(tx, func(tx core.Tx) error { return tx.DeleteInstance("1") }, func(tx core.Tx) error { return tx.DeleteOperation("a") })
	})
	same(t, "after a deletion", core.PlanUse{ServiceID: "s", PlanID: "p", Definition: core.Definition{Digest: "d1", Blob: []byte("one")}, Instances: 1}, uses()[0])
}

func (c *suite) documentsAndCounts(t *testing.T) {
	s := c.open(t)
	wantErr(t, "Get", readErr(s, func(tx core.Tx) ([]byte, error) { return tx.Get("k") }), core.ErrNotFound)
	update(t, s, func(tx core.Tx) error { return all(tx, put("k", "1"), put("k", "2"), put("l", "3")) })
	same(t, "replaced", "2", get(t, s, "k"))

	counts := func(want core.Counts) {
		t.Helper()
		same(t, "counts", want, read(t, s, func(tx core.Tx) (core.Counts, error) { return tx.Counts() }))
	}
	counts(core.Counts{Unfinished: map[core.Verb]int64{}})
	update(t, s, func(tx core.Tx) error {
		return all(tx, putInstance(&core.Instance{ID: "i"}), putInstance(&core.Instance{ID: "i"}), putInstance(&core.Instance{ID: "j"}),
			putBinding("i", "b"), putBinding("i", "b"), putBinding("i", "c"), putBinding("j", "b"),
			insert(operation("1", "i", "", pending)), insert(operation("2", "i", "b", cancelling)),
			insert(operation("3", "i", "c", pending)), insert(operation("4", "j", "", succeeded)))
	})
	counts(core.Counts{Instances: 2, Bindings: 3, Unfinished: map[core.Verb]int64{core.VerbProvision: 1, core.VerbBind: 2}})
	update(t, s, func(tx core.Tx) error {
		wantErr(t, "busy", tx.InsertOperation(operation("5", "i", "", pending)), core.ErrBusy) // counts nothing
		return all(tx, func(tx core.Tx) error { return tx.UpdateOperation(operation("1", "i", "", cancelling)) },
			func(tx core.Tx) error { return tx.UpdateOperation(operation("2", "i", "b", failed)) },
			func(tx core.Tx) error { return tx.DeleteOperation("3") },
			func(tx core.Tx) error { return tx.DeleteBinding("j", "b") })
	})
	counts(core.Counts{Instances: 2, Bindings: 2, Unfinished: map[core.Verb]int64{core.VerbProvision: 1}})
	update(t, s, func(tx core.Tx) error {
		return all(tx, func(tx core.Tx) error { return tx.DeleteInstance("i") }, func(tx core.Tx) error { return tx.DeleteInstance("i") })
	})
	counts(core.Counts{Instances: 1, Bindings: 0, Unfinished: map[core.Verb]int64{core.VerbProvision: 1}})
}

func (c *suite) durability(t *testing.T) {
	if c.reopen == nil {
		t.Skip("no Reopen option")
	}
	s := c.open(t)
	in := filled(&core.Instance{}, "i")
	op := filled(&core.Operation{}, "o")
	op.InstanceID, op.BindingID, op.State = in.ID, "", pending
	update(t, s, func(tx core.Tx) error {
		if _, err := tx.NextFence("i"); err != nil {
			return err
		}
		if _, err := tx.Secret("i", "", "n", func() (string, error) { return "kept", nil }); err != nil {
			return err
		}
		return all(tx, putInstance(in), insert(op), func(tx core.Tx) error { return tx.AddStep(&core.Step{Operation: op.ID, Text: "one"}) },
			func(tx core.Tx) error { return tx.PutDefinition(core.Definition{Digest: "d", Blob: []byte("blob")}) },
			func(tx core.Tx) error { return tx.Reserve("b", "f", "v", "i") }, put("k", "v"))
	})
	before := read(t, s, func(tx core.Tx) (core.Counts, error) { return tx.Counts() })
	s = c.reopen(t, s)
	same(t, "instance", in, read(t, s, func(tx core.Tx) (*core.Instance, error) { return tx.Instance(in.ID) }))
	unfinished := read(t, s, func(tx core.Tx) ([]*core.Operation, error) { return tx.Unfinished("") })
	same(t, "unfinished operations", []*core.Operation{op}, unfinished)
	same(t, "steps", 1, len(read(t, s, func(tx core.Tx) ([]*core.Step, error) { return tx.Steps(op.ID) })))
	same(t, "document", "v", get(t, s, "k"))
	same(t, "counts", before, read(t, s, func(tx core.Tx) (core.Counts, error) { return tx.Counts() }))
	wantErr(t, "reservation", s.Update(t.Context(), func(tx core.Tx) error { return tx.Reserve("b", "f", "v", "j") }), core.ErrBusy)
	update(t, s, func(tx core.Tx) error {
		fence, err := tx.NextFence("i")
		same(t, "fence", int64(2), fence)
		return err
	})
	update(t, s, func(tx core.Tx) error {
		got, err := tx.Secret("i", "", "n", func() (string, error) { return "new", nil })
		same(t, "secret", "kept", got)
		return err
	})
}
