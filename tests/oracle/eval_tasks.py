#!/usr/bin/env python3
"""Golden task results: PyPI lm_eval on PyPI transformers in fp32, with SmolLM2 of the GGUF file.

Prompts are lm_eval's own mechanism over Jinja templates written here, on the same records as ours. Writes tasks.json:
per case the task, its shots, and per item what lm_eval saw: the continuations' log-likelihoods and whether they are
greedy, which metrics counted it right; of generation the text. And lm_eval's figures of the whole.

Without the model or the data the committed file is kept, with a message. All cases take about an hour of one core;
--cases DIR keeps each there as it is done and takes those that are there, so that a stopped run goes on.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import sys

SMOLLM2 = "build/models/SmolLM2-135M-Instruct.Q4_1.gguf"
DATA = "../shared/data/tasks"
COMMITTED = "tests/golden/eval/tasks.json"


def metric(name, **more):
    aggregation = "perplexity" if name == "perplexity" else "mean"
    return {"metric": name, "aggregation": aggregation, "higher_is_better": name != "perplexity", **more}


CHOICES = {
    "output_type": "multiple_choice",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "gold",
    "metric_list": [metric("acc"), metric("acc_norm"), metric("acc_bytes")],
}

# What lm_eval is told of every task. Files of rows as they are; the templates are Jinja.
TASKS = {
    "lambada": {
        "file": "lambada_test.jsonl",
        "output_type": "loglikelihood",
        "doc_to_text": "{{text.split(' ')[:-1]|join(' ')}}",
        # lm_eval sets no delimiter before a target, but does before a shot's answer: the target brings its own.
        "doc_to_target": "{{' '+text.split(' ')[-1]}}",
        "target_delimiter": "",
        "metric_list": [metric("acc"), metric("perplexity")],
    },
    "hellaswag": {**CHOICES, "file": "hellaswag_val_1000.jsonl", "doc_to_text": "{{query}}"},
    "piqa": {**CHOICES, "file": "piqa.jsonl", "doc_to_text": "{{query}}Answer:"},
    "arc_easy": {**CHOICES, "file": "arc_easy.jsonl", "doc_to_text": "{{query}}\nAnswer:"},
    "boolq": {
        **CHOICES,
        "file": "boolq.jsonl",
        "doc_to_text": "{{query}}\nAnswer:",
        "metric_list": [metric("acc")],
    },
    "sst2": {
        **CHOICES,
        "file": "sst2_dev.tsv",
        "doc_to_text": "{{sentence}}\nQuestion: Is this sentence positive or negative?\nAnswer:",
        "doc_to_choice": ["negative", "positive"],
        "doc_to_target": "label",
        "metric_list": [metric("acc")],
    },
    "winogrande": {
        "file": "winogrande.jsonl",
        "output_type": "multiple_choice",
        "doc_to_text": lambda doc: doc["gold"],
        "doc_to_choice": lambda doc: doc["context_options"],
        "doc_to_target": lambda doc: doc["continuation"],
        "metric_list": [metric("acc")],
    },
    "simple_arithmetic": {
        "file": "simple_arithmetic_nospaces.jsonl",
        "output_type": "loglikelihood",
        "doc_to_text": "{{context}}",
        "doc_to_target": "{{continuation}}",
        "target_delimiter": "",
        "fewshot_delimiter": "\n",
        "metric_list": [metric("acc")],
    },
    "gsm8k": {
        "file": "gsm8k.jsonl",
        "output_type": "generate_until",
        "doc_to_text": "Question: {{context}}\nAnswer:",
        "doc_to_target": "{{answer}}",
        "generation_kwargs": {"until": ["Question:", "</s>", "<|im_end|>"], "do_sample": False},
        "metric_list": [metric("exact_match", ignore_case=True, regexes_to_ignore=[",", "\\$", "(?s).*#### ", "\\.$"])],
        "filter_list": [
            {
                "name": "strict",
                "filter": [
                    {"function": "regex", "regex_pattern": "#### (\\-?[0-9\\.\\,]+)"},
                    {"function": "take_first"},
                ],
            },
            {
                "name": "flexible",
                "filter": [
                    {"function": "regex", "group_select": -1, "regex_pattern": "(-?[$0-9.,]{2,})|(-?[0-9]+)"},
                    {"function": "take_first"},
                ],
            },
        ],
        "shot_target": "{{chain_of_thought}}\n#### {{answer}}",
    },
}

# task, shots, items, tokens to generate, "chat" where prompts are conversations
CASES = [(name, 0, 200, 0) for name in TASKS if name != "gsm8k"] + [
    ("arc_easy", 2, 24, 0),
    ("winogrande", 3, 24, 0),
    ("lambada", 1, 24, 0),
    ("simple_arithmetic", 4, 200, 0),
    ("gsm8k", 2, 8, 100),
    ("arc_easy", 0, 24, 0, "chat"),
    ("sst2", 2, 24, 0, "chat"),
    ("gsm8k", 1, 2, 60, "chat"),
]


def rows_of(file):
    lines = pathlib.Path(DATA, file).read_text().splitlines()
    if file.endswith(".jsonl"):
        return [json.loads(line) for line in lines if line.strip()]
    names = lines[0].split("\t")
    rows = [dict(zip(names, line.split("\t"))) for line in lines[1:]]
    return [{**row, "label": int(row["label"])} for row in rows]


def make_task(name, shots, max_tokens):
    import datasets
    from lm_eval.api.task import ConfigurableTask

    config = dict(TASKS[name])
    rows = rows_of(config.pop("file"))
    shot_target = config.pop("shot_target", config["doc_to_target"])
    config |= {
        "task": name,
        "custom_dataset": lambda **_: {"test": datasets.Dataset.from_list(rows)},
        "test_split": "test",
        "fewshot_split": "test",
        "num_fewshot": shots,
        "fewshot_config": {"sampler": "first_n", "doc_to_target": shot_target},
    }
    if max_tokens:
        config["generation_kwargs"] = {**config["generation_kwargs"], "max_gen_toks": max_tokens}
    return ConfigurableTask(config=config)


def load_model():
    from lm_eval.models.huggingface import HFLM

    path = pathlib.Path(__file__).with_name("eval_ppl.py")
    spec = importlib.util.spec_from_file_location("eval_ppl", path)
    ppl = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ppl)
    return HFLM(pretrained=ppl.load_model(SMOLLM2), tokenizer=ppl.load_tokenizer(SMOLLM2).engine, batch_size=8)


def answers_of(sample, kind):
    """What lm_eval saw of one item."""
    if kind == "generate_until":
        return {"text": sample["resps"][0][0]}
    pairs = [response[0] for response in sample["resps"]]
    return {
        "log_likelihoods": [round(float(pair[0]), 5) for pair in pairs],
        "is_greedy": [bool(pair[1]) for pair in pairs],
    }


def run_case(case, model):
    import lm_eval

    name, shots, items, max_tokens = case[:4]
    out = lm_eval.simple_evaluate(
        model=model,
        tasks=[make_task(name, shots, max_tokens)],
        limit=items,
        bootstrap_iters=0,
        num_fewshot=shots,
        apply_chat_template=case[4:] == ("chat",),
        fewshot_as_multiturn=True,
    )
    filters = [f["name"] for f in TASKS[name].get("filter_list", [{"name": "none"}])]
    metrics = [m["metric"] for m in TASKS[name]["metric_list"]]
    kept = {}
    for sample in out["samples"][name]:
        item = kept.setdefault(sample["doc_id"], answers_of(sample, TASKS[name]["output_type"]))
        for m in metrics:
            if m != "perplexity":
                ours = m if sample["filter"] == "none" else f"{m}_{sample['filter']}"
                item[ours] = int(sample[m])
    figures = {}
    for m in metrics:
        for f in filters:
            figures[m if f == "none" else f"{m}_{f}"] = round(float(out["results"][name][f"{m},{f}"]), 6)
    assert len(kept) == items
    return {
        "task": name,
        "shots": shots,
        "max_tokens": max_tokens,
        "prompt": "chat" if case[4:] else "plain",
        "figures": figures,
        "items": [kept[i] for i in range(items)],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="tests/golden/eval")
    parser.add_argument("--cases", help="folder of finished cases")
    parser.add_argument("--only", help="part of the cases' names, for runs side by side; writes no golden file")
    arguments = parser.parse_args()
    out = pathlib.Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    if not (pathlib.Path(SMOLLM2).exists() and pathlib.Path(DATA).exists()):
        print(f"{SMOLLM2} or {DATA}: absent, the committed file is kept", file=sys.stderr)
        (out / "tasks.json").write_text(pathlib.Path(COMMITTED).read_text())
        return
    os.environ["HF_HUB_OFFLINE"] = "1"
    model, results = None, []
    for case in CASES:
        name = "-".join(map(str, case))
        if arguments.only and not any(part in name for part in arguments.only.split(",")):
            continue
        kept = arguments.cases and pathlib.Path(arguments.cases, f"{name}.json")
        if kept and kept.exists():
            results.append(json.loads(kept.read_text()))
            continue
        print(case, file=sys.stderr)
        model = model or load_model()
        results.append(run_case(case, model))
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(results[-1], ensure_ascii=False))
    if arguments.only:
        return
    lines = ",\n".join(json.dumps(result, ensure_ascii=False).replace('{"log_l', '\n{"log_l') for result in results)
    (out / "tasks.json").write_text(f"[{lines}]\n")


if __name__ == "__main__":
    main()
