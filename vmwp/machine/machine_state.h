/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state of the machine's parts: what their rows in the table of devices (machine_parts.c) do as
 * struct device_ops says. The device is the machine. Thread: the loop's.
 */
#pragma once

#include "vmwp/base/failure.h"

struct handover;
struct state_reader;
struct state_refusal;
struct state_writer;

int machine_memory_save(void *device, struct state_writer *writer);
int machine_partition_save(void *device, struct state_writer *writer);
int machine_processors_save(void *device, struct state_writer *writer);
int machine_hypervisor_save(void *device, struct state_writer *writer);

/* The last three: after machine_prepare_restore(). */
int machine_memory_hand_over(void *device, struct handover *handover, struct failure *failure);
int machine_memory_restore(void *device, struct state_reader *reader, struct failure *failure);
int machine_partition_restore(void *device, struct state_reader *reader, struct failure *failure);
int machine_processors_restore(void *device, struct state_reader *reader, struct failure *failure);
int machine_hypervisor_restore(void *device, struct state_reader *reader, struct failure *failure);

/* The last of all: the guest's generation ID becomes the definition's, and if it was another, it is told. */
int machine_generation_restored(void *device, struct failure *failure);

void machine_hypervisor_quiesce(void *device, void (*done)(void *data), void *data);

/* What vid/ and hvshim/ say of a state that they refuse, as a sentence. Return: error. */
int machine_state_failure(int error, const struct state_refusal *refusal, struct failure *failure);
