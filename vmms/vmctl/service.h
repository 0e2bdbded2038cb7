/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl's side of the bus: calls of vmms, and what their errors mean to a person and to a script.
 *
 * What fails has been said on standard error when a function returns.
 */
#pragma once

#include "common/base/json.h"
#include "common/dbus_names.h"
#include "vmms/vmctl/clock.h"
#include "vmms/vmctl/command.h"

#include <stdint.h>

#define SERVICE_TIMEOUT      30  /* seconds, for calls that wait for nothing but vmms */
#define SERVICE_LONG_TIMEOUT 180 /* for those that wait for a worker */
#define SERVICE_NO_TIMEOUT   0

#define SERVICE_PING_TIMEOUT 10 /* in which one that works says that it is there */

/* Whether vmms, which has its name on the bus, does not even say that it is there. */
bool service_hangs(struct invocation *invocation);

/*
 * The same for whoever waits for something else meanwhile: asks vmms now and then whether it is
 * there. Begins as { .pinged = clock_boot() }.
 */
struct service_pinger {
	time_t pinged;     /* when vmms has answered last */
	sd_bus_slot *slot; /* NULL: nothing is asked now */
	bool hangs;
};

/* To be called every second or so while the bus is processed. Return: 0, or more; -errno. */
int service_pinger_ask(struct service_pinger *pinger, struct invocation *invocation);
void service_pinger_deinit(struct service_pinger *pinger);

#define SERVICE_ERROR_HANGS "org.vmms1.Error.Hangs" /* never on the bus */
#define SERVICE_HANGS                                                                              \
	"vmms hangs: it has said nothing for " SERVICE_TEXT(                                       \
		SERVICE_PING_TIMEOUT) " seconds; 'vmctl doctor' tells how to end it, and VMs run " \
				      "on"
#define SERVICE_TEXT(number)  SERVICE_TEXT_(number)
#define SERVICE_TEXT_(number) #number

/* Says that vmms hangs. Return: the status for that. */
enum status service_say_hangs(void);

/*
 * Connects invocation->bus as its options say, and finds out whether vmms answers at all: no
 * command waits longer for one that hangs.
 */
enum status service_connect(struct invocation *invocation);

#define SERVICE_MESSAGE_MAX 512 /* bytes */

/* That is the bus of the system: no option, nor the environment, names another. */
bool service_is_of_system(const struct invocation *invocation);

/* The same, but why the bus cannot be reached (STATUS_NO_SERVICE) is for the caller to say. */
enum status service_try_connect(struct invocation *invocation, char message[SERVICE_MESSAGE_MAX]);

/* From now on nobody is asked for a password: the terminal is for something else. */
void service_stop_asking(struct invocation *invocation);

/* Says why a call failed. Frees *error. Return: the status that goes with it. */
enum status service_failed(int r, sd_bus_error *error);

/* Object path of the VM, or of the switch, of that name, freed by the caller. */
enum status service_find_vm(struct invocation *invocation, const char *name, char **ret_path);
enum status service_find_switch(struct invocation *invocation, const char *name, char **ret_path);

/* A method of a VM without arguments and result. */
enum status service_call_vm(struct invocation *invocation, const char *path, const char *method);

/*
 * A method without arguments of the VM that the first argument of the command line names. *ret_path:
 * of the VM, freed by the caller; NULL: not wanted. *ret_reply: as of service_call_manager().
 */
enum status service_ask_vm(struct invocation *invocation, const char *method, unsigned timeout,
			   char **ret_path, sd_bus_message **ret_reply);

/*
 * A method of a VM without arguments and result that brings it into a state. *ret_message: NULL, or
 * that it is in that state already, which is no failure; freed by the caller; NULL: not wanted.
 */
enum status service_reach_state(struct invocation *invocation, const char *path, const char *method,
				char **ret_message);

/* The same of a call that is prepared. *ret_reply: NULL if the VM is in the state already. */
enum status service_send_to_reach(struct invocation *invocation, sd_bus_message *call,
				  sd_bus_message **ret_reply, char **ret_message);

/* A method of the manager. *ret_reply: unreferenced by the caller; NULL: not wanted. */
enum status service_call_manager(struct invocation *invocation, const char *method,
				 unsigned timeout, sd_bus_message **ret_reply, const char *types,
				 ...);

/* A VM that the caller sees; texts are the reply's. */
struct listed_vm {
	const char *name, *uuid, *state, *path;
};

/* All of them, for service_next_vm(). *ret_reply: unreferenced by the caller. */
enum status service_list_vms(struct invocation *invocation, sd_bus_message **ret_reply);

/* Return: 1; 0: there are no more; -errno. */
int service_next_vm(sd_bus_message *reply, struct listed_vm *ret_vm);

/*
 * A method of the manager that takes a name, for each argument of the command line. What fails does
 * not keep the others from being tried; of what succeeds a line says "kind 'NAME' done". Return:
 * the first failure's status.
 */
enum status service_call_manager_for_each(struct invocation *invocation, const char *method,
					  const char *kind, const char *done);

/*
 * sd_bus_call() of a prepared call, for callers that say by themselves what fails. If somebody has
 * to authenticate and is there to be asked, they are. timeout: seconds. Return: 0, or more; -errno
 * with *error filled.
 */
int service_call(struct invocation *invocation, sd_bus_message *call, unsigned timeout,
		 sd_bus_error *error, sd_bus_message **ret_reply);

/* Sends a prepared call. *ret_reply: as above. */
enum status service_send(struct invocation *invocation, sd_bus_message *call, unsigned timeout,
			 sd_bus_message **ret_reply);

/* A new call of a method of a VM, for the caller to append to and to unreference. */
enum status service_new_call(struct invocation *invocation, const char *path, const char *method,
			     sd_bus_message **ret_call);

/* The same of a start: of what --boot says, if the command has it. */
enum status service_new_start(struct invocation *invocation, const char *path,
			      sd_bus_message **ret_call);

/* The JSON that an answer is made of; *ret_tree: put by the caller. Return: 0; -errno. */
int service_read_json(sd_bus_message *reply, struct json_object **ret_tree) MUST_CHECK;

static inline void service_unrefp(sd_bus_message **message)
{
	sd_bus_message_unref(*message);
}
#define AUTO_MESSAGE __attribute__((cleanup(service_unrefp)))
