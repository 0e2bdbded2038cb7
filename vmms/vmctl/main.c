/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl: manages VMs through vmms, from a terminal or a script. */
#include "vmms/vmctl/agent.h"
#include "vmms/vmctl/invocation.h"
#include "vmms/vmctl/service.h"

#include <stdio.h>

static enum status vmctl_run(struct invocation *invocation)
{
	enum status status;

	if (invocation_has(invocation, "help")) {
		if (invocation->command)
			command_print_help(invocation->command);
		else if (invocation->group)
			command_print_group(invocation->group);
		else
			command_print_overview();
		return STATUS_OK;
	}
	if (invocation_has(invocation, "version"))
		return command_version(invocation);
	if (invocation->command->needs_bus) {
		status = service_connect(invocation);
		if (status != STATUS_OK)
			return status;
	}
	return invocation->command->run(invocation);
}

int main(int argc, char *argv[])
{
	static struct invocation invocation;
	enum status status;

	status = invocation_read(argc, argv, &invocation);
	if (status == STATUS_OK)
		status = vmctl_run(&invocation);
	sd_bus_flush_close_unref(invocation.bus);
	agent_end(&invocation.agent);
	/* Output that could not be written is a failure: a full disk, a closed pipe. */
	if (fflush(stdout) != 0 && status == STATUS_OK)
		status = STATUS_FAILED;
	return status;
}
