/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * late_libs.c - libmount, libnl-genl and libsmartcols, each loaded when a command first calls it
 *
 * They bring SELinux's and PCRE along, and loading them is a quarter of what `cowbd snapshot` takes: it calls none of
 * them.  As in late_libnbd.c, the functions are here by their own names and call the library's.
 *
 * Failure: what can't be loaded ends the command with one line, as the dynamic linker would have at its start.
 * Thread rule: first called by one thread.
 */
#include <dlfcn.h>
#include <libmount.h>
#include <libsmartcols.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <stdlib.h>

#include "cli.h"

/* Result, name, parameters, arguments, of libmount.so.1. */
#define LIBMOUNT_FUNCTIONS(X)                                                                      \
	X(int, mnt_context_get_excode,                                                             \
	  (struct libmnt_context * cxt, int rc, char *buf, size_t size), (cxt, rc, buf, size))     \
	X(int, mnt_context_get_status, (struct libmnt_context * cxt), (cxt))                       \
	X(int, mnt_context_mount, (struct libmnt_context * cxt), (cxt))                            \
	X(int, mnt_context_set_fstype, (struct libmnt_context * cxt, const char *fstype),          \
	  (cxt, fstype))                                                                           \
	X(int, mnt_context_set_options, (struct libmnt_context * cxt, const char *optstr),         \
	  (cxt, optstr))                                                                           \
	X(int, mnt_context_set_source, (struct libmnt_context * cxt, const char *source),          \
	  (cxt, source))                                                                           \
	X(int, mnt_context_set_target, (struct libmnt_context * cxt, const char *target),          \
	  (cxt, target))                                                                           \
	X(void, mnt_free_context, (struct libmnt_context * cxt), (cxt))                            \
	X(void, mnt_free_iter, (struct libmnt_iter * itr), (itr))                                  \
	X(dev_t, mnt_fs_get_devno, (struct libmnt_fs * fs), (fs))                                  \
	X(const char *, mnt_fs_get_fstype, (struct libmnt_fs * fs), (fs))                          \
	X(const char *, mnt_fs_get_options, (struct libmnt_fs * fs), (fs))                         \
	X(const char *, mnt_fs_get_root, (struct libmnt_fs * fs), (fs))                            \
	X(const char *, mnt_fs_get_srcpath, (struct libmnt_fs * fs), (fs))                         \
	X(const char *, mnt_fs_get_target, (struct libmnt_fs * fs), (fs))                          \
	X(struct libmnt_context *, mnt_new_context, (void), ())                                    \
	X(struct libmnt_iter *, mnt_new_iter, (int direction), (direction))                        \
	X(struct libmnt_table *, mnt_new_table_from_file, (const char *filename), (filename))      \
	X(int, mnt_optstr_remove_option, (char **optstr, const char *name), (optstr, name))        \
	X(struct libmnt_fs *, mnt_table_find_target,                                               \
	  (struct libmnt_table * tb, const char *path, int direction), (tb, path, direction))      \
	X(int, mnt_table_next_fs,                                                                  \
	  (struct libmnt_table * tb, struct libmnt_iter * itr, struct libmnt_fs * *fs),            \
	  (tb, itr, fs))                                                                           \
	X(void, mnt_unref_table, (struct libmnt_table * tb), (tb))

/* Result, name, parameters, arguments, of libnl-genl-3.so.200. */
#define LIBNL_FUNCTIONS(X)                                                                         \
	X(int, genl_connect, (struct nl_sock * s), (s))                                            \
	X(int, genl_ctrl_resolve, (struct nl_sock * s, const char *name), (s, name))               \
	X(int, genl_ctrl_resolve_grp, (struct nl_sock * s, const char *family, const char *grp),   \
	  (s, family, grp))                                                                        \
	X(struct nlattr *, genlmsg_attrdata, (const struct genlmsghdr *h, int len), (h, len))      \
	X(int, genlmsg_attrlen, (const struct genlmsghdr *h, int len), (h, len))                   \
	X(void *, genlmsg_put,                                                                     \
	  (struct nl_msg * m, uint32_t port, uint32_t seq, int family, int len, int flags,         \
	   uint8_t cmd, uint8_t version),                                                          \
	  (m, port, seq, family, len, flags, cmd, version))                                        \
	X(int, nl_recvmsgs_default, (struct nl_sock * s), (s))                                     \
	X(int, nl_send_auto, (struct nl_sock * s, struct nl_msg * m), (s, m))                      \
	X(int, nl_socket_add_membership, (struct nl_sock * s, int group), (s, group))              \
	X(struct nl_sock *, nl_socket_alloc, (void), ())                                           \
	X(void, nl_socket_disable_seq_check, (struct nl_sock * s), (s))                            \
	X(void, nl_socket_free, (struct nl_sock * s), (s))                                         \
	X(int, nl_socket_get_fd, (const struct nl_sock *s), (s))                                   \
	X(int, nl_socket_modify_cb,                                                                \
	  (struct nl_sock * s, enum nl_cb_type type, enum nl_cb_kind kind, nl_recvmsg_msg_cb_t f,  \
	   void *arg),                                                                             \
	  (s, type, kind, f, arg))                                                                 \
	X(int, nl_socket_modify_err_cb,                                                            \
	  (struct nl_sock * s, enum nl_cb_kind kind, nl_recvmsg_err_cb_t f, void *arg),            \
	  (s, kind, f, arg))                                                                       \
	X(int, nl_socket_set_nonblocking, (const struct nl_sock *s), (s))                          \
	X(uint32_t, nla_get_u32, (const struct nlattr *a), (a))                                    \
	X(int, nla_nest_end, (struct nl_msg * m, struct nlattr * a), (m, a))                       \
	X(struct nlattr *, nla_nest_start, (struct nl_msg * m, int type), (m, type))               \
	X(int, nla_parse,                                                                          \
	  (struct nlattr * *tb, int most, struct nlattr *head, int len,                            \
	   const struct nla_policy *policy),                                                       \
	  (tb, most, head, len, policy))                                                           \
	X(int, nla_put_string, (struct nl_msg * m, int type, const char *s), (m, type, s))         \
	X(int, nla_put_u32, (struct nl_msg * m, int type, uint32_t v), (m, type, v))               \
	X(int, nla_put_u64, (struct nl_msg * m, int type, uint64_t v), (m, type, v))               \
	X(struct nl_msg *, nlmsg_alloc, (void), ())                                                \
	X(void *, nlmsg_data, (const struct nlmsghdr *h), (h))                                     \
	X(void, nlmsg_free, (struct nl_msg * m), (m))                                              \
	X(struct nlmsghdr *, nlmsg_hdr, (struct nl_msg * m), (m))

/* Result, name, parameters, arguments, of libsmartcols.so.1. */
#define LIBSMARTCOLS_FUNCTIONS(X)                                                                  \
	X(int, scols_line_add_child, (struct libscols_line * ln, struct libscols_line * child),    \
	  (ln, child))                                                                             \
	X(int, scols_line_alloc_cells, (struct libscols_line * ln, size_t n), (ln, n))             \
	X(int, scols_line_set_data, (struct libscols_line * ln, size_t n, const char *data),       \
	  (ln, n, data))                                                                           \
	X(struct libscols_line *, scols_new_line, (void), ())                                      \
	X(struct libscols_table *, scols_new_table, (void), ())                                    \
	X(int, scols_print_table, (struct libscols_table * tb), (tb))                              \
	X(int, scols_table_add_line, (struct libscols_table * tb, struct libscols_line * ln),      \
	  (tb, ln))                                                                                \
	X(int, scols_table_enable_noheadings, (struct libscols_table * tb, int enable),            \
	  (tb, enable))                                                                            \
	X(struct libscols_column *, scols_table_new_column,                                        \
	  (struct libscols_table * tb, const char *name, double whint, int flags),                 \
	  (tb, name, whint, flags))                                                                \
	X(void, scols_unref_line, (struct libscols_line * ln), (ln))                               \
	X(void, scols_unref_table, (struct libscols_table * tb), (tb))

static void *mount_library, *nl_library, *smartcols_library;

/* The address of a function of *library, which is soname; loaded before, if it isn't yet. */
static void *find(void **library, const char *soname, const char *name)
{
	void *address;

	if (!*library)
		*library = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
	address = *library ? dlsym(*library, name) : NULL;
	if (!address) {
		complain("can't load %s: %s", soname, dlerror());
		exit(FAILED);
	}
	return address;
}

#define FUNCTION(ret, name, params, args, library, soname)                                         \
	ret name params                                                                            \
	{                                                                                          \
		static ret(*late) params;                                                          \
                                                                                                   \
		if (!late)                                                                         \
			*(void **)&late = find(&library, soname, #name);                           \
		return late args;                                                                  \
	}
#define OF_MOUNT(ret, name, params, args)                                                          \
	FUNCTION(ret, name, params, args, mount_library, "libmount.so.1")
#define OF_NL(ret, name, params, args)                                                             \
	FUNCTION(ret, name, params, args, nl_library, "libnl-genl-3.so.200")
#define OF_SMARTCOLS(ret, name, params, args)                                                      \
	FUNCTION(ret, name, params, args, smartcols_library, "libsmartcols.so.1")

LIBMOUNT_FUNCTIONS(OF_MOUNT)
LIBNL_FUNCTIONS(OF_NL)
LIBSMARTCOLS_FUNCTIONS(OF_SMARTCOLS)
