/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A limit to what leaves through a link: the token bucket filter of the kernel, tc-tbf(8).
 */
#include "vmms/network/network_internal.h"

#include <errno.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>

#define HANDLE      0x766d0000u  /* "vm" */
#define BURST_LEAST (128 * 1024) /* bytes: two of the largest packets that are segmented later */
#define QUEUE_TIME  50           /* milliseconds of traffic that may wait */
#define BURST_TIME  10           /* milliseconds of traffic that may leave at once */

static uint32_t rate_bytes_in(uint64_t rate, unsigned milliseconds)
{
	uint64_t bytes = rate / 1000 * milliseconds;

	return (uint32_t)(bytes > INT32_MAX ? INT32_MAX : bytes);
}

static int rate_put_bucket(struct nl_msg *message, uint64_t rate)
{
	uint32_t burst = MAX(rate_bytes_in(rate, BURST_TIME), (uint32_t)BURST_LEAST);
	struct tc_tbf_qopt bucket = {
		.rate = { .linklayer = 1, /* Ethernet: the kernel computes times itself */
			  .rate = rate > UINT32_MAX ? UINT32_MAX : (uint32_t)rate },
		.limit = burst + rate_bytes_in(rate, QUEUE_TIME),
	};
	struct nlattr *options = nla_nest_start(message, TCA_OPTIONS);

	if (!options)
		return -ENOMEM;
	NLA_PUT(message, TCA_TBF_PARMS, sizeof(bucket), &bucket);
	NLA_PUT_U32(message, TCA_TBF_BURST, burst);
	NLA_PUT_U64(message, TCA_TBF_RATE64, rate);
	nla_nest_end(message, options);
	return 0;
nla_put_failure:
	return -ENOMEM;
}

static int rate_set_bucket(struct network *network, const struct tcmsg *header, uint64_t rate)
{
	struct nl_msg *message = network_request(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, header,
						 sizeof(*header));

	if (!message)
		return -ENOMEM;
	if (nla_put_string(message, TCA_KIND, "tbf") < 0 || rate_put_bucket(message, rate) < 0) {
		nlmsg_free(message);
		return -ENOMEM;
	}
	return network_exchange(network, message, NULL, NULL);
}

int network_set_rate(struct network *network, int index, uint64_t bits)
{
	struct tcmsg header = { .tcm_ifindex = index,
				.tcm_handle = HANDLE,
				.tcm_parent = TC_H_ROOT };
	int r;

	if (bits > 0)
		return rate_set_bucket(network, &header, bits / 8);
	r = network_exchange(network, network_request(RTM_DELQDISC, 0, &header, sizeof(header)),
			     NULL, NULL);
	/* There was none. */
	return r == -ENOENT || r == -EINVAL ? 0 : r;
}
