/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * late_libnbd.c - libnbd, loaded when a command makes its first handle
 *
 * libnbd brings gnutls, libxml2 and ICU along, twenty libraries in all.  Loading them takes 15 ms, and a snapshot
 * takes less than one: so the command isn't linked with it.  The functions that it uses are
 * here by their own names and call the library's.
 *
 * Failure: nbd_create returns NULL, and nbd_get_error says why; the others can't be called without a
 * handle.  Thread rule: the first nbd_create is made by one thread.
 */
#include <libnbd.h>

#include <dlfcn.h>
#include <stdio.h>

#define LIBNBD_SONAME "libnbd.so.0"

/* Result, name, parameters, arguments of all but nbd_create and nbd_get_error. */
#define LATE_FUNCTIONS(X)                                                                          \
	X(int, nbd_add_meta_context, (struct nbd_handle * h, const char *name), (h, name))         \
	X(int, nbd_aio_get_fd, (struct nbd_handle * h), (h))                                       \
	X(int, nbd_block_status,                                                                   \
	  (struct nbd_handle * h, uint64_t count, uint64_t offset,                                 \
	   nbd_extent_callback extent_callback, uint32_t flags),                                   \
	  (h, count, offset, extent_callback, flags))                                              \
	X(int, nbd_can_flush, (struct nbd_handle * h), (h))                                        \
	X(int, nbd_can_fua, (struct nbd_handle * h), (h))                                          \
	X(int, nbd_can_meta_context, (struct nbd_handle * h, const char *metacontext),             \
	  (h, metacontext))                                                                        \
	X(int, nbd_can_multi_conn, (struct nbd_handle * h), (h))                                   \
	X(int, nbd_can_trim, (struct nbd_handle * h), (h))                                         \
	X(int, nbd_can_zero, (struct nbd_handle * h), (h))                                         \
	X(void, nbd_close, (struct nbd_handle * h), (h))                                           \
	X(int, nbd_connect_systemd_socket_activation, (struct nbd_handle * h, char **argv),        \
	  (h, argv))                                                                               \
	X(int, nbd_connect_unix, (struct nbd_handle * h, const char *unixsocket), (h, unixsocket)) \
	X(int, nbd_connect_uri, (struct nbd_handle * h, const char *uri), (h, uri))                \
	X(int, nbd_flush, (struct nbd_handle * h, uint32_t flags), (h, flags))                     \
	X(int64_t, nbd_get_size, (struct nbd_handle * h), (h))                                     \
	X(int, nbd_is_read_only, (struct nbd_handle * h), (h))                                     \
	X(int, nbd_is_rotational, (struct nbd_handle * h), (h))                                    \
	X(int, nbd_pread,                                                                          \
	  (struct nbd_handle * h, void *buf, size_t count, uint64_t offset, uint32_t flags),       \
	  (h, buf, count, offset, flags))                                                          \
	X(int, nbd_pwrite,                                                                         \
	  (struct nbd_handle * h, const void *buf, size_t count, uint64_t offset, uint32_t flags), \
	  (h, buf, count, offset, flags))                                                          \
	X(int, nbd_set_export_name, (struct nbd_handle * h, const char *export_name),              \
	  (h, export_name))                                                                        \
	X(int, nbd_set_request_structured_replies, (struct nbd_handle * h, bool request),          \
	  (h, request))                                                                            \
	X(int, nbd_shutdown, (struct nbd_handle * h, uint32_t flags), (h, flags))

static struct {
	struct nbd_handle *(*nbd_create)(void);
	const char *(*nbd_get_error)(void);
#define POINTER(ret, name, params, args) ret(*name) params;
	LATE_FUNCTIONS(POINTER)
} late;

static char load_error[256]; /* why there is no library, "" */

#define FUNCTION(ret, name, params, args)                                                          \
	ret name params                                                                            \
	{                                                                                          \
		return late.name args;                                                             \
	}
LATE_FUNCTIONS(FUNCTION)

/* The address of a function, stored at where; load_error if there is none. */
static void find(void *library, const char *name, void *where)
{
	void *address = dlsym(library, name);

	if (!address)
		snprintf(load_error, sizeof load_error, LIBNBD_SONAME " has no %s: it is too old",
			 name);
	*(void **)where = address;
}

static void load(void)
{
	void *library = dlopen(LIBNBD_SONAME, RTLD_NOW | RTLD_LOCAL);

	load_error[0] = '\0';
	if (!library) {
		snprintf(load_error, sizeof load_error, "can't load libnbd: %s", dlerror());
		return;
	}
	find(library, "nbd_get_error", &late.nbd_get_error);
#define FIND(ret, name, params, args) find(library, #name, &late.name);
	LATE_FUNCTIONS(FIND)
	if (!load_error[0])
		find(library, "nbd_create", &late.nbd_create);
}

struct nbd_handle *nbd_create(void)
{
	if (!late.nbd_create)
		load();
	return late.nbd_create ? late.nbd_create() : NULL;
}

const char *nbd_get_error(void)
{
	return late.nbd_create ? late.nbd_get_error() : load_error;
}
