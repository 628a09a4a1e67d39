/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_nbdlink.c - messages to the kernel's NBD client, read as its nbd.c reads them
 */
#include <check.h>
#include <errno.h>
#include <linux/nbd-netlink.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <stdlib.h>

#include "../../cli/nbdlink.h"

#define FAMILY 33

/* What the kernel's policy says of each attribute: as many bytes, exactly. */
static void parse(struct nl_msg *m, uint8_t cmd, struct nlattr **attributes)
{
	static struct nla_policy policy[NBD_ATTR_MAX + 1] = {
		[NBD_ATTR_INDEX] = {.type = NLA_U32},
		[NBD_ATTR_SIZE_BYTES] = {.type = NLA_U64},
		[NBD_ATTR_BLOCK_SIZE_BYTES] = {.type = NLA_U64},
		[NBD_ATTR_TIMEOUT] = {.type = NLA_U64},
		[NBD_ATTR_SERVER_FLAGS] = {.type = NLA_U64},
		[NBD_ATTR_CLIENT_FLAGS] = {.type = NLA_U64},
		[NBD_ATTR_SOCKETS] = {.type = NLA_NESTED},
		[NBD_ATTR_DEAD_CONN_TIMEOUT] = {.type = NLA_U64},
		[NBD_ATTR_BACKEND_IDENTIFIER] = {.type = NLA_STRING},
	};
	struct nlmsghdr *header = nlmsg_hdr(m);
	struct genlmsghdr *generic = genlmsg_hdr(header);

	ck_assert_int_eq(header->nlmsg_type, FAMILY);
	ck_assert_int_eq(generic->cmd, cmd);
	ck_assert_int_eq(generic->version, NBD_GENL_VERSION);
	ck_assert_int_eq(genlmsg_parse(header, 0, attributes, NBD_ATTR_MAX, policy), 0);
}

START_TEST(a_connect_carries_everything)
{
	static const int fds[] = {7, 9, 12};
	const struct nbdlink_request q = {
		.index = 5,
		.size_bytes = UINT64_C(5) << 40,
		.block_bytes = 512,
		.timeouts = true,
		.dead_seconds = 600,
		.server_flags = 0x16d,
		.client_flags = 2,
		.sockets = fds,
		.sockets_n = 3,
		.backend = "uuid/1",
	};
	struct nl_msg *m = nbdlink_message(FAMILY, NBD_CMD_CONNECT, &q);
	struct nlattr *a[NBD_ATTR_MAX + 1], *item;
	int left, n = 0;

	ck_assert_ptr_nonnull(m);
	parse(m, NBD_CMD_CONNECT, a);
	ck_assert_uint_eq(nla_get_u32(a[NBD_ATTR_INDEX]), 5);
	ck_assert_uint_eq(nla_get_u64(a[NBD_ATTR_SIZE_BYTES]), q.size_bytes);
	ck_assert_uint_eq(nla_get_u64(a[NBD_ATTR_BLOCK_SIZE_BYTES]), 512);
	ck_assert_uint_eq(nla_get_u64(a[NBD_ATTR_TIMEOUT]), 0);
	ck_assert_uint_eq(nla_get_u64(a[NBD_ATTR_DEAD_CONN_TIMEOUT]), 600);
	ck_assert_uint_eq(nla_get_u64(a[NBD_ATTR_SERVER_FLAGS]), 0x16d);
	ck_assert_uint_eq(nla_get_u64(a[NBD_ATTR_CLIENT_FLAGS]), 2);
	ck_assert_str_eq(nla_get_string(a[NBD_ATTR_BACKEND_IDENTIFIER]), "uuid/1");
	nla_for_each_nested(item, a[NBD_ATTR_SOCKETS], left)
	{
		struct nlattr *socket[NBD_SOCK_MAX + 1];

		ck_assert_int_eq(nla_type(item), NBD_SOCK_ITEM);
		ck_assert_int_eq(nla_parse_nested(socket, NBD_SOCK_MAX, item, NULL), 0);
		ck_assert_int_lt(n, 3);
		ck_assert_uint_eq(nla_get_u32(socket[NBD_SOCK_FD]), (unsigned)fds[n++]);
	}
	ck_assert_int_eq(n, 3);
	nlmsg_free(m);
}
END_TEST

START_TEST(a_connect_of_any_device_names_none)
{
	const struct nbdlink_request q = {.index = -1, .size_bytes = 512};
	struct nl_msg *m = nbdlink_message(FAMILY, NBD_CMD_CONNECT, &q);
	struct nlattr *a[NBD_ATTR_MAX + 1];

	ck_assert_ptr_nonnull(m);
	parse(m, NBD_CMD_CONNECT, a);
	ck_assert_ptr_null(a[NBD_ATTR_INDEX]);
	ck_assert_ptr_nonnull(a[NBD_ATTR_SIZE_BYTES]);
	nlmsg_free(m);
}
END_TEST

/* Timeouts or flags that a reconfiguration names by mistake would be taken as new ones. */
START_TEST(a_reconfiguration_carries_only_what_it_changes)
{
	static const int fds[] = {3};
	const struct nbdlink_request q = {
		.index = 0, .sockets = fds, .sockets_n = 1, .backend = "uuid/1/copy"};
	struct nl_msg *m = nbdlink_message(FAMILY, NBD_CMD_RECONFIGURE, &q);
	struct nlattr *a[NBD_ATTR_MAX + 1];

	ck_assert_ptr_nonnull(m);
	parse(m, NBD_CMD_RECONFIGURE, a);
	ck_assert_uint_eq(nla_get_u32(a[NBD_ATTR_INDEX]), 0);
	ck_assert_ptr_nonnull(a[NBD_ATTR_SOCKETS]);
	ck_assert_str_eq(nla_get_string(a[NBD_ATTR_BACKEND_IDENTIFIER]), "uuid/1/copy");
	ck_assert_ptr_null(a[NBD_ATTR_SIZE_BYTES]);
	ck_assert_ptr_null(a[NBD_ATTR_TIMEOUT]);
	ck_assert_ptr_null(a[NBD_ATTR_DEAD_CONN_TIMEOUT]);
	ck_assert_ptr_null(a[NBD_ATTR_SERVER_FLAGS]);
	ck_assert_ptr_null(a[NBD_ATTR_CLIENT_FLAGS]);
	nlmsg_free(m);
}
END_TEST

START_TEST(a_kernel_without_the_client_is_told_from_one_with_it)
{
	struct nbdlink l;
	int err = nbdlink_open(&l);

	ck_assert(err == 0 || err == -ENOENT || err == -EPROTONOSUPPORT);
	nbdlink_close(&l);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("nbdlink");
	TCase *tc = tcase_create("messages");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tc, a_connect_carries_everything);
	tcase_add_test(tc, a_connect_of_any_device_names_none);
	tcase_add_test(tc, a_reconfiguration_carries_only_what_it_changes);
	tcase_add_test(tc, a_kernel_without_the_client_is_told_from_one_with_it);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
