"""What one flag of llama-server sets, where it is more than one attribute: llama.cpp's handlers, repeated.

Every function takes the CommonParams to set, the flag's value, and the module xllamacpp, and follows the
handler of the same flag in common/arg.cpp.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ON = {"on", "enabled", "true", "1"}  # common_arg_utils::is_truthy
OFF = {"off", "disabled", "false", "0"}
_AUTO = {"auto", "-1"}

# the members of xllamacpp's enumerations, as llama-server's flags name them
_ENUMS: dict[str, tuple[str, str, dict[str, str]]] = {
    "rope_scaling": ("llama_rope_scaling_type", "LLAMA_ROPE_SCALING_TYPE_", {}),
    "kv_type": ("ggml_type", "GGML_TYPE_", {}),
    "load_mode": (
        "llama_load_mode",
        "LLAMA_LOAD_MODE_",
        {"mmap+mlock": "MMAP_MLOCK", "dio": "DIRECT_IO"},
    ),
    "numa": ("ggml_numa_strategy", "GGML_NUMA_STRATEGY_", {}),
    "split_mode": ("llama_split_mode", "LLAMA_SPLIT_MODE_", {}),
    "pooling": ("llama_pooling_type", "LLAMA_POOLING_TYPE_", {}),
    "reasoning_format": (
        "common_reasoning_format",
        "COMMON_REASONING_FORMAT_",
        {"deepseek-legacy": "DEEPSEEK_LEGACY"},
    ),
}
_KV_TYPES = {"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"}


def number(value: str | bool) -> int:
    """A whole number of 32 bits, as std::stoi reads one.

    :raises ValueError: anything else.
    """
    found = int(value)
    if not -(2**31) <= found < 2**31:
        raise ValueError("stoi: out of range")
    return found


def split(value: str | bool) -> list[str]:
    """Comma-separated words, stripped, without empty ones."""
    return [word for word in (part.strip() for part in str(value).split(",")) if word]


def member(module: Any, table: str, word: str) -> Any:
    """The member of one of xllamacpp's enumerations that llama-server calls `word`.

    :raises ValueError: there is none.
    """
    name, prefix, special = _ENUMS[table]
    found = getattr(getattr(module, name), prefix + special.get(word, word.upper()), None)
    if found is None or word == "count" or (table == "kv_type" and word not in _KV_TYPES):
        raise ValueError(f"invalid value: {word}")
    return found


def switch(value: str | bool, *, auto: bool) -> int:
    """1, 0 or -1 for on, off and auto, in any of llama-server's words for them."""
    for words, number in ((ON, 1), (OFF, 0), (_AUTO if auto else set(), -1)):
        if value in words:
            return number
    raise ValueError(f"unknown value '{value}'")


def _threads(field: str) -> Callable[[Any, Any, Any], None]:
    def call(params: Any, value: Any, _module: Any) -> None:
        count = number(value)
        getattr(params, field).n_threads = count if count > 0 else os.cpu_count() or 1

    return call


def _cpu_mask(params: Any, value: Any, _module: Any) -> None:
    bits = int(str(value), 16)
    params.cpuparams.cpumask = [bool(bits >> n & 1) for n in range(len(params.cpuparams.cpumask))]
    params.cpuparams.mask_valid = True


def _cpu_range(params: Any, value: Any, _module: Any) -> None:
    low, dash, high = str(value).partition("-")
    size = len(params.cpuparams.cpumask)
    first, last = int(low or 0), int(high or size - 1)
    if not dash or first > last or last >= size:
        raise ValueError("invalid range")
    params.cpuparams.cpumask = [first <= n <= last for n in range(size)]
    params.cpuparams.mask_valid = True


def _ctx_size(params: Any, value: Any, _module: Any) -> None:
    params.n_ctx = number(value)
    if params.n_ctx == 0:  # said outright: the model's whole context, whatever fits
        params.fit_params_min_ctx = -1  # UINT32_MAX


def _gpu_layers(params: Any, value: Any, module: Any) -> None:
    params.n_gpu_layers = {"auto": -1, "all": -2}.get(value) or number(value)
    if not devices(module):  # llama_supports_gpu_offload
        sys.stderr.write(
            "warning: no usable GPU found, --gpu-layers option will be ignored\n"
            "warning: one possible reason is that llama.cpp was compiled without GPU support\n"
            "warning: consult docs/build.md for compilation instructions\n"
        )


def devices(module: Any) -> list[dict[str, Any]]:
    """Devices that are not CPUs, as xllamacpp describes them."""
    cpu = module.ggml_backend_dev_type.GGML_BACKEND_DEVICE_TYPE_CPU
    return [device for device in module.get_device_info() if device["type"] != cpu]


def _device(params: Any, value: Any, module: Any) -> None:
    """parse_device_list, as far as CommonParams lets one choose: none, one, or all."""
    names = split(value)
    if names == ["none"]:
        params.n_gpu_layers = 0
        return
    there = [str(device["name"]) for device in devices(module)]
    for name in names:
        if name not in there:
            raise ValueError(f"invalid device: {name}")
    if not names:
        raise ValueError("no devices specified")
    if len(names) == 1:
        params.main_gpu = there.index(names[0])
        params.split_mode = module.llama_split_mode.LLAMA_SPLIT_MODE_NONE
    elif set(names) != set(there):
        raise ValueError("this engine takes one device or all of them")


def _tensor_split(params: Any, value: Any, _module: Any) -> None:
    parts = [float(part) for part in str(value).replace("/", ",").split(",")]
    size = len(params.tensor_split)
    if len(parts) >= size:
        raise ValueError(f"got {len(parts)} input configs, but system only has {size} devices")
    params.tensor_split = parts + [0.0] * (size - len(parts))


def _fit_target(params: Any, value: Any, _module: Any) -> None:
    parts = [int(part) * 2**20 for part in str(value).replace("/", ",").split(",")]
    size = len(params.fit_params_target)
    target = list(params.fit_params_target)
    params.fit_params_target = parts * size if len(parts) == 1 else parts + target[len(parts) :]


def _lora(params: Any, value: Any, module: Any) -> None:
    for path in split(value):
        _add_lora(params, module, path, 1.0)


def _lora_scaled(params: Any, value: Any, module: Any) -> None:
    for item in split(value):
        path, colon, scale = item.rpartition(":")
        if not colon:
            raise ValueError("lora-scaled format: FNAME:SCALE")
        _add_lora(params, module, path, float(scale))


def _add_lora(params: Any, module: Any, path: str, scale: float) -> None:
    info = module.CommonAdapterLoraInfo()
    info.path, info.scale = path, scale
    params.lora_adapters = [*params.lora_adapters, info]


def _sampling(field: str, kind: Callable[[Any], Any], bit: str) -> Callable[[Any, Any, Any], None]:
    """A sampling default that also beats what the model's metadata recommends."""

    def call(params: Any, value: Any, module: Any) -> None:
        setattr(params.sampling, field, kind(value))
        flags = module.common_params_sampling_config
        params.sampling.user_sampling_config |= int(getattr(flags, f"COMMON_PARAMS_SAMPLING_CONFIG_{bit}"))

    return call


def _spec_type(params: Any, value: Any, module: Any) -> None:
    names = [word.upper().replace("-", "_") for word in split(value)]
    kinds = module.common_speculative_type
    members = [getattr(kinds, f"COMMON_SPECULATIVE_TYPE_{name}", None) for name in names]
    if None in members or not members:
        raise ValueError(f"unknown speculative type: {value}")
    params.speculative.types = [*params.speculative.types, *members]


def _directory(field: str) -> Callable[[Any, Any, Any], None]:
    def call(params: Any, value: Any, _module: Any) -> None:
        if not Path(str(value)).is_dir():
            raise ValueError(f"not a directory: {value}")
        setattr(params, field, str(value).rstrip("/") + "/")

    return call


def _kwargs(params: Any, new: dict[str, str]) -> None:
    params.default_template_kwargs = {**params.default_template_kwargs, **new}


def _template_kwargs(params: Any, value: Any, _module: Any) -> None:
    parsed = json.loads(str(value))
    if not isinstance(parsed, dict):
        raise ValueError("not a JSON object")
    _kwargs(params, {str(key): json.dumps(item) for key, item in parsed.items()})


def _reasoning(params: Any, value: Any, _module: Any) -> None:
    params.enable_reasoning = switch(value, auto=True)
    if params.enable_reasoning >= 0:
        _kwargs(params, {"enable_thinking": "true" if params.enable_reasoning else "false"})


def _api_key_file(params: Any, value: Any, _module: Any) -> None:
    lines = Path(str(value)).read_text("utf-8").splitlines()
    params.api_keys = [*params.api_keys, *(line for line in lines if line and not line.startswith("#"))]


def _set(**fields: Any) -> Callable[[Any, Any, Any], None]:
    def call(params: Any, _value: Any, _module: Any) -> None:
        for name, fixed in fields.items():
            setattr(params, name, fixed)

    return call


def _flash_attn(params: Any, value: Any, module: Any) -> None:
    params.flash_attn_type = module.llama_flash_attn_type(switch(value, auto=True))


def _perf(params: Any, value: Any, _module: Any) -> None:
    params.no_perf = params.sampling.no_perf = not value


def _rerank(params: Any, _value: Any, module: Any) -> None:
    params.embedding = True
    params.pooling_type = module.llama_pooling_type.LLAMA_POOLING_TYPE_RANK


def _cors_origins(params: Any, value: Any, _module: Any) -> None:
    params.cors_origins, params.cors_origins_explicit = str(value), True


def _timeout(params: Any, value: Any, _module: Any) -> None:
    params.timeout_read = params.timeout_write = number(value)


def _prio(params: Any, value: Any, module: Any) -> None:
    params.cpuparams.priority = module.ggml_sched_priority(number(value))


def _repeat_last_n(params: Any, value: Any, module: Any) -> None:
    if number(value) < 0:
        raise ValueError(f"invalid repeat-last-n = {value}")
    _sampling("penalty_last_n", number, "PENALTY_LAST_N")(params, value, module)
    params.sampling.n_prev = max(params.sampling.n_prev, params.sampling.penalty_last_n)


CALLS: dict[str, Callable[[Any, Any, Any], None]] = {
    "threads": _threads("cpuparams"),
    "threads_batch": _threads("cpuparams_batch"),
    "cpu_mask": _cpu_mask,
    "cpu_range": _cpu_range,
    "cpu_strict": lambda p, v, m: setattr(p.cpuparams, "strict_cpu", bool(number(v))),
    "prio": _prio,
    "ctx_size": _ctx_size,
    "flash_attn": _flash_attn,
    "perf": _perf,
    "rope_scale": lambda p, v, m: setattr(p, "rope_freq_scale", 1.0 / float(v)),
    "device": _device,
    "gpu_layers": _gpu_layers,
    "draft_gpu_layers": lambda p, v, m: setattr(
        p.speculative.draft, "n_gpu_layers", {"auto": -1, "all": -2}.get(v) or number(v)
    ),
    "tensor_split": _tensor_split,
    "fit": lambda p, v, m: setattr(p, "fit_params", bool(switch(v, auto=False))),
    "fit_target": _fit_target,
    "lora": _lora,
    "lora_scaled": _lora_scaled,
    "log_disable": _set(verbosity=-1),
    "verbose": _set(verbosity=2**31 - 1),
    "samplers": _sampling("samplers", str, "SAMPLERS"),
    "seed": lambda p, v, m: setattr(p.sampling, "seed", int(v) & 0xFFFFFFFF),
    "temp": _sampling("temp", lambda v: max(float(v), 0.0), "TEMP"),
    "top_k": _sampling("top_k", number, "TOP_K"),
    "top_p": _sampling("top_p", float, "TOP_P"),
    "min_p": _sampling("min_p", float, "MIN_P"),
    "repeat_last_n": _repeat_last_n,
    "repeat_penalty": _sampling("penalty_repeat", float, "PENALTY_REPEAT"),
    "spec_type": _spec_type,
    "reverse_prompt": lambda p, v, m: setattr(p, "antiprompt", [*p.antiprompt, v]),
    "cors_origins": _cors_origins,
    "rerank": _rerank,
    "api_key": lambda p, v, m: setattr(p, "api_keys", [*p.api_keys, *split(v)]),
    "api_key_file": _api_key_file,
    "template_kwargs": _template_kwargs,
    "timeout": _timeout,
    "slot_save_path": _directory("slot_save_path"),
    "media_path": _directory("media_path"),
    "reasoning": _reasoning,
    "template_file": lambda p, v, m: setattr(p, "chat_template", Path(v).read_text("utf-8")),
}
