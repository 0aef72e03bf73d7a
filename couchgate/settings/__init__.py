"""The settings file, judged once: TOML in, one frozen `Settings` out, or one sentence that says what is wrong."""

from couchgate.core.limits import Limits
from couchgate.settings.load import load, load_issuer, load_state_dir
from couchgate.settings.model import (
    AdminSettings,
    AuthSettings,
    CheckerSettings,
    CorsSettings,
    GateSettings,
    IssuerSettings,
    ListenerSettings,
    OwnSettings,
    RecorderSettings,
    Settings,
    SettingsError,
    TlsSettings,
    UpstreamSettings,
)

__all__ = [
    "AdminSettings",
    "AuthSettings",
    "CheckerSettings",
    "CorsSettings",
    "GateSettings",
    "IssuerSettings",
    "Limits",
    "ListenerSettings",
    "OwnSettings",
    "RecorderSettings",
    "Settings",
    "SettingsError",
    "TlsSettings",
    "UpstreamSettings",
    "load",
    "load_issuer",
    "load_state_dir",
]
