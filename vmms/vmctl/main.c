/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl: manages VMs through vmms, from a terminal or a script. */
#include "vmms/vmctl/agent.h"
#include "vmms/vmctl/hangup.h"
#include "vmms/vmctl/invocation.h"
#include "vmms/vmctl/remote.h"
#include "vmms/vmctl/remote_command.h"
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
	status = remote_read_host(invocation);
	if (status != STATUS_OK)
		return status;
	if (invocation_has(invocation, "version"))
		return command_version(invocation);
	if (remote_is_named(invocation) && remote_command_goes_there(invocation))
		return remote_command_run(invocation);
	if (invocation->command->needs_bus &&
	    !(remote_is_named(invocation) && invocation->command->remote == REMOTE_STREAM)) {
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

	hangup_watch();
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
