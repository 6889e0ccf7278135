"""Which networks webhooks may reach is the operator's to say."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from caiwutong.erp.webhooks.rules import AddressPolicy, check_url
from caiwutong.kernel.errors import Refused
from caiwutong.settings import from_environment


def test_networks_are_named_in_the_environment():
    settings = from_environment({"CAIWUTONG_WEBHOOK_NETWORKS": "10.0.0.0/8, fd00::/8"})
    assert settings.webhook_networks == ("10.0.0.0/8", "fd00::/8")
    policy = AddressPolicy(networks=tuple(map(ip_network, settings.webhook_networks)))
    check_url("http://10.1.2.3/erp", policy)
    check_url("http://[fd00::7]:8080/erp", policy)
    with pytest.raises(Refused):
        check_url("http://192.168.1.1/erp", policy)


def test_what_is_no_network_is_refused_at_the_start():
    with pytest.raises(Refused) as refused:
        from_environment({"CAIWUTONG_WEBHOOK_NETWORKS": "the office"})
    assert refused.value.code == "settings.bad_network"
