"""Which groups of measurements each page has."""

from __future__ import annotations

from pathlib import Path

import growing
import in_a_page
import learning
import products
import reading
import steps
from harness import Groups

DOCS = Path(__file__).parents[1]
PERFORMANCE: Groups = {
    "step": (steps.measure_step, steps.step_table),
    "same": (learning.measure_same, learning.same_table),
    "reach": (learning.measure_reach, learning.reach_table),
    "tried": (steps.measure_tried, steps.tried_table),
    "packing": (reading.measure_packing, reading.packing_table),
    "products": (products.measure_products, products.products_table),
    "profile": (products.measure_profile, products.profile_table),
    "inference": (reading.measure_inference, reading.inference_table),
    "guess": (reading.measure_guess, reading.guess_table),
    "text": (reading.measure_text, reading.text_table),
    "start": (reading.measure_start, reading.start_table),
    "memory": (steps.measure_memory, steps.memory_table),
    "page": (in_a_page.measure_page, in_a_page.page_table),
}
SCALING: Groups = {
    "sizes": (growing.measure_sizes, growing.sizes_table),
    "stream": (growing.measure_stream, growing.stream_table),
    "processes": (growing.measure_processes, growing.processes_table),
    "costs": (growing.compute_costs, growing.costs_table),
    "soak": (growing.measure_soak, growing.soak_table),
}
PAGES = {"performance": PERFORMANCE, "scaling": SCALING}
"""`NAME.md` has the tables, `NAME.json` what is behind them."""
PICTURES = {
    "performance": ("step", steps.draw_step),
    "scaling": ("sizes", growing.draw_sizes),
}
"""`NAME.png`: of which group, and what draws it."""
