package store

// Cipher encrypts the columns of the store that can hold secrets or words of users,
// platforms and plugins: parameters, context, bind resources, inputs, outputs,
// attempted, wanted, handles, seeds, binding results and stable secrets, but also
// request digests (a short secret could be guessed from one), originating
// identities, dashboard URLs, labels, attributes, progress, errors and timelines.
// Ids, names, states, times and catalog definitions are stored as they are, and so
// are reserved names, by which the database tells who has them. Safe for concurrent use.
//
// Table, row id and column name the place of a value; a Cipher binds the
// ciphertext to it, so that a value that was moved elsewhere in the database does
// not open. A nil value is stored as NULL and never reaches the Cipher; an empty
// one does.
type Cipher interface {
	// Seal gives what is stored for plain. It must not keep or change plain.
	Seal(table, rowID, column string, plain []byte) ([]byte, error)
	// Open gives back what was sealed for the same place. It may reuse sealed.
	Open(table, rowID, column string, sealed []byte) ([]byte, error)
}

// plainCipher stores values as they are.
type plainCipher struct{}

func (plainCipher) Seal(_, _, _ string, plain []byte) ([]byte, error)  { return plain, nil }
func (plainCipher) Open(_, _, _ string, sealed []byte) ([]byte, error) { return sealed, nil }
