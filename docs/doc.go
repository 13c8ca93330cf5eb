// Package docs holds the documentation; its tests hold the documents to the code.
package docs
