/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who configures an interface, told by the files that each owner leaves. */
#include "tests/unit/unit.h"
#include "vmms/host/interface_owner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char root[] = "/tmp/vmms-owner-XXXXXX";

static void write_file(const char *path, const char *text)
{
	char command[256], whole[256];
	FILE *file;

	snprintf(command, sizeof(command), "mkdir -p \"$(dirname '%s%s')\"", root, path);
	assert_int_equal(system(command), 0);
	snprintf(whole, sizeof(whole), "%s%s", root, path);
	file = fopen(whole, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
	strcpy(root, "/tmp/vmms-owner-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -r '%s'", root);
	return system(command);
}

static void assert_owner(const char *interface, int index, const char *name)
{
	const struct interface_owner *owner = interface_owner_find(root, interface, index);

	if (!name) {
		assert_null(owner);
		return;
	}
	assert_non_null(owner);
	assert_string_equal(owner->name, name);
}

static void test_nobody(void **state)
{
	assert_owner("eth0", 2, NULL);
	write_file("/run/NetworkManager/devices/3", "[device]\nmanaged=true\n");
	write_file("/run/systemd/netif/links/3", "ADMIN_STATE=configured\n");
	write_file("/etc/network/interfaces", "auto eth1\niface eth1 inet dhcp\n");
	assert_owner("eth0", 2, NULL);
}

static void test_network_manager(void **state)
{
	write_file("/run/NetworkManager/devices/2", "[device]\nmanaged=false\n");
	assert_owner("eth0", 2, NULL);
	write_file("/run/NetworkManager/devices/2", "[device]\nnic=x\nmanaged=true\n");
	assert_owner("eth0", 2, "NetworkManager");
}

static void test_networkd(void **state)
{
	write_file("/run/systemd/netif/links/2", "# x\nADMIN_STATE=unmanaged\nOPER_STATE=up\n");
	assert_owner("eth0", 2, NULL);
	write_file("/run/systemd/netif/links/2", "# x\nADMIN_STATE=configured\n");
	assert_owner("eth0", 2, "systemd-networkd");
}

static void test_ifupdown(void **state)
{
	write_file("/run/network/ifstate", "lo=lo\neth10=eth10\n");
	assert_owner("eth1", 2, NULL);
	assert_owner("eth10", 2, "ifupdown");
	write_file("/etc/network/interfaces",
		   "# iface eth2 inet dhcp\nauto lo\niface lo inet loopback\n\n"
		   "\tallow-hotplug  eth3 eth4\niface eth5 inet static\n\taddress eth6\n"
		   "source /etc/network/interfaces.d/*\nsource-directory more.d\n");
	write_file("/etc/network/interfaces.d/a", "iface eth7 inet dhcp\nsource a\n");
	write_file("/etc/network/more.d/b", "auto eth8\nsource /etc/network/interfaces\n");
	assert_owner("eth2", 2, NULL);
	assert_owner("eth3", 2, "ifupdown");
	assert_owner("eth4", 2, "ifupdown");
	assert_owner("eth5", 2, "ifupdown");
	assert_owner("eth6", 2, NULL);
	assert_owner("inet", 2, NULL);
	assert_owner("eth7", 2, "ifupdown");
	assert_owner("eth8", 2, "ifupdown");
}

static void test_steps(void **state)
{
	char steps[512], few[8];

	write_file("/etc/network/interfaces", "auto eth0\n");
	interface_owner_steps(interface_owner_find(root, "eth0", 2), "eth0", steps, sizeof(steps));
	assert_non_null(strstr(steps, "ifdown eth0;"));
	assert_non_null(strstr(steps, "'bridge_ports eth0'"));
	interface_owner_steps(interface_owner_find(root, "eth0", 2), "eth0", few, sizeof(few));
	assert_string_equal(few, "apt ins");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nobody),   TEST(test_network_manager), TEST(test_networkd),
		TEST(test_ifupdown), TEST(test_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
